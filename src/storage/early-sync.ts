/**
 * Syncs a file beside the work, so that the last sync has little left to do. A sync holds up the writes, so it is worth
 * it only for a disk that waits for the program often enough.
 */

/** Bytes written since a sync was last considered, after which it is considered again. */
const WORTH_A_SYNC = 16 * 1024 * 1024;
/** The part of the time in which the disk must have waited. For a disk that is the bottleneck it is at most 0.02. */
const WORTH_A_WAIT = 0.05;

export class EarlySync {
  readonly #sync: () => Promise<void>;
  readonly #now: () => number;
  /** Bytes written when a sync was last considered, whether it was worth it or not. */
  #consideredBytes = 0;
  /** When that was, in milliseconds, and how long the disk has waited since then. */
  #since: number;
  #waited = 0;
  #waitsSince: number | undefined;
  /** Never rejects. */
  #underWay: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param sync makes everything durable that was written before the call
   * @param now milliseconds of a clock that never goes back
   */
  constructor(sync: () => Promise<void>, now = () => performance.now()) {
    this.#sync = sync;
    this.#now = now;
    this.#since = now();
    this.#waitsSince = this.#since;
  }

  /** The first of the changes in progress begins. */
  diskWorks(): void {
    if (this.#waitsSince !== undefined) this.#waited += this.#now() - this.#waitsSince;
    this.#waitsSince = undefined;
  }

  /** The last of the changes in progress has ended. */
  diskWaits(): void {
    this.#waitsSince = this.#now();
  }

  /**
   * Call when no change is in progress.
   * @param writtenBytes written to the file so far
   * @returns settles with the sync, and never rejects; undefined if none is worth it
   */
  startIfWorthIt(writtenBytes: number): Promise<void> | undefined {
    if (writtenBytes - this.#consideredBytes < WORTH_A_SYNC) return undefined;
    const now = this.#now();
    const share = this.#waited / (now - this.#since);
    this.#consideredBytes = writtenBytes;
    this.#since = now;
    this.#waited = 0;
    if (share < WORTH_A_WAIT) return undefined;
    this.#underWay = this.#sync().catch((error) => {
      this.#failure ??= { error };
    });
    return this.#underWay;
  }

  /**
   * Waits for the sync under way.
   * @throws the first error of any of them: the system reports a lost write once only (fsync(2))
   */
  async end(): Promise<void> {
    await this.#underWay;
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
