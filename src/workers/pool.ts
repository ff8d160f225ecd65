/**
 * Worker threads for one run and the memory they share with the main thread: results come back in it, and the items
 * of a stream go out in it. Threads and memory serve the next run, too. Order and the bound on what is in flight are
 * the caller's: a slot is lent for each item until its result has been taken over.
 */
import { internalError, Qcow2cError } from '../errors.js';
import { sharedAlignedMemory } from '../system/aligned-memory.js';
import { BufferPool } from '../system/buffer-pool.js';
import { type FileOf, failureError } from './failure-error.js';
import { acquireThreads, releaseThread } from './idle-threads.js';
import type {
  Compared,
  ComparisonItem,
  ExaminationItem,
  Examined,
  FoundRuns,
  PackedClusters,
  PoolItem,
  WorkAnswer,
  WorkerSetup,
  WorkItem,
  WorkResult,
} from './messages.js';
import type { UnreadableRange } from './unreadable-range.js';
import type { WorkerThread } from './worker-thread.js';

/** Of this process, for results and for arrivals. */
const sharedMemory = new BufferPool<SharedArrayBuffer>(sharedAlignedMemory);
const NO_MEMORY = new SharedArrayBuffer(0);

/** A worker's answer with the memory it speaks of. */
type FromWorker<Answer> = Omit<Answer, 'unreadable'> & {
  /** The slot's memory, the whole slot. */
  readonly bytes: Uint8Array;
  /** Ascending. Without salvage only what was had all the same. */
  readonly unreadable: readonly UnreadableRange[];
};

/** An item's clusters: in `bytes` lies what `sizes` measures, one behind the other. */
export type PackedItem = FromWorker<PackedClusters>;

/** An item's runs: `bytes` is the item as it is on the disk. */
export type SparseItem = FromWorker<FoundRuns>;

export type ComparedItem = FromWorker<Compared>;

export interface ExaminedItem extends Pick<Examined, 'facts'> {
  /** By the index of the payload, ascending. */
  readonly broken: readonly {
    readonly index: number;
    readonly error: Qcow2cError;
    /** Whether QEMU reads the cluster all the same. */
    readonly isReadable: boolean;
  }[];
}

/** A setup without the memory, which is the pool's. */
type Without<Setup, Keys extends string> = Setup extends unknown ? Omit<Setup, Keys> : never;
export type PoolSetup = Without<WorkerSetup, 'results' | 'arrivals' | 'cancellation'>;

/** An item that waits for a thread, or is with one. */
interface Job {
  readonly item: PoolItem;
  resolve(result: WorkResult): void;
  reject(reason: unknown): void;
}

export class WorkerPool {
  /** All that were acquired. */
  readonly #threads: readonly WorkerThread[];
  /** Why there are fewer threads than were asked for. */
  readonly threadsRefused: Qcow2cError | undefined;
  /** Those that have nothing to do. */
  readonly #free: WorkerThread[] = [];
  /** How many will take another item. */
  #fit: number;
  readonly #waiting: Job[] = [];
  readonly #results: SharedArrayBuffer = NO_MEMORY;
  readonly #arrivals: SharedArrayBuffer = NO_MEMORY;
  readonly #cancellation = new Int32Array(new SharedArrayBuffer(4));
  readonly #itemSize: number;
  readonly #fileOf: FileOf;
  /** What came first of what must not be: a thread that threw, or ended. */
  #lost: { readonly reason: unknown } | undefined;
  #closed = false;

  /**
   * @param entry the worker's module
   * @param threads at most; there are fewer where the system cannot start more
   * @param slots how many items can be in flight
   * @param setup told to every worker
   * @param fileOf names the file behind a descriptor, for messages
   * @param arrivals whether items come in through memory, see `arrivalSlot`
   * @throws Qcow2cError ERR_IO when no thread can be started: for want of descriptors (EMFILE) or threads (EAGAIN)
   */
  constructor(
    entry: URL,
    threads: number,
    slots: number,
    setup: PoolSetup,
    fileOf: FileOf,
    arrivals = false,
  ) {
    this.#itemSize = setup.itemSize;
    this.#fileOf = fileOf;
    const isStored = setup.output === 'clusters' || setup.output === 'runs';
    const bytes = slots * setup.itemSize;
    try {
      this.#results = isStored ? sharedMemory.take(bytes) : NO_MEMORY;
      this.#arrivals = arrivals ? sharedMemory.take(bytes) : NO_MEMORY;
      const acquired = acquireThreads(entry, threads);
      this.#threads = acquired.threads;
      this.threadsRefused = acquired.refused;
    } catch (error) {
      this.#giveMemoryBack();
      throw error;
    }
    this.#fit = this.#threads.length;
    const memory = { results: this.#results, arrivals: this.#arrivals, cancellation: this.#cancellation };
    for (const thread of this.#threads) void this.#prepare(thread, { ...setup, ...memory });
  }

  /** How many threads there are. */
  get threads(): number {
    return this.#threads.length;
  }

  /**
   * The memory in which an item of a stream is handed to a worker (segments of the kind `arrived`), the whole
   * slot. Only of a pool with arrivals.
   */
  arrivalSlot(slot: number): Uint8Array {
    if (this.#arrivals === NO_MEMORY) throw internalError('a pool without arrivals was asked for a slot');
    return this.#slotOf(this.#arrivals, slot);
  }

  /**
   * For a pool whose output is `clusters`.
   * @param item with a slot that no other item in flight has
   * @param guestOffset where the item begins, in bytes, for messages
   * @throws Qcow2cError ERR_IO or ERR_SOURCE_CHANGED for a failed read, ERR_CORRUPT for a damaged payload,
   *   ERR_WORKER when the worker threw or died
   */
  async pack(item: WorkItem, guestOffset: number): Promise<PackedItem> {
    return this.#run<PackedClusters>(item, guestOffset);
  }

  /** For a pool whose output is `runs`; everything else as `pack`. */
  async findRuns(item: WorkItem, guestOffset: number): Promise<SparseItem> {
    return this.#run<FoundRuns>(item, guestOffset);
  }

  /** For a pool whose output is `comparison`: never throws for what cannot be read. */
  async compare(item: ComparisonItem, guestOffset: number): Promise<ComparedItem> {
    return this.#run<Compared>(item, guestOffset);
  }

  /**
   * For a pool whose output is `examination`.
   * @param guestOffsets of each payload, in bytes, for messages
   * @throws Qcow2cError ERR_WORKER when the worker threw or died
   */
  async examine(item: ExaminationItem, guestOffsets: readonly number[]): Promise<ExaminedItem> {
    const [guestOffset = 0] = guestOffsets;
    const { facts, broken } = await this.#answer<Examined>(item, guestOffset);
    return {
      facts,
      broken: broken.map(({ index, failure, isReadable }) => ({
        index,
        isReadable,
        error: failureError(failure, guestOffsets[index] ?? guestOffset, this.#fileOf, isReadable),
      })),
    };
  }

  /** Lets all threads go, also in the middle of an item. */
  async close(): Promise<void> {
    this.#closed = true;
    Atomics.store(this.#cancellation, 0, 1);
    this.#refuseWaiting(new Error('the work was given up'));
    await Promise.all(this.#threads.map((thread) => releaseThread(thread, this.#lost === undefined)));
    this.#giveMemoryBack();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #giveMemoryBack(): void {
    sharedMemory.giveBack(this.#results);
    sharedMemory.giveBack(this.#arrivals);
  }

  async #run<Answer extends Exclude<WorkAnswer, Examined>>(
    item: WorkItem | ComparisonItem,
    guestOffset: number,
  ): Promise<FromWorker<Answer>> {
    const answer = await this.#answer<Answer>(item, guestOffset);
    const unreadable = answer.unreadable.map(({ at, length, failure, isKept }) => ({
      guestOffset: guestOffset + at,
      length,
      error: failureError(failure, guestOffset, this.#fileOf, isKept),
      ...(isKept && { isKept }),
    }));
    return { ...answer, bytes: this.#slotOf(this.#results, item.slot), unreadable };
  }

  async #answer<Answer extends WorkAnswer>(item: PoolItem, guestOffset: number): Promise<Answer> {
    let result: WorkResult;
    try {
      result = await new Promise<WorkResult>((resolve, reject) => {
        this.#waiting.push({ item, resolve, reject });
        this.#handOut();
      });
    } catch (error) {
      const cause = this.#lost === undefined ? error : this.#lost.reason;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Qcow2cError('ERR_WORKER', `A worker failed at guest offset ${guestOffset}: ${reason}`, {
        guestOffset,
        cause,
      });
    }
    if ('failure' in result) throw failureError(result.failure, guestOffset, this.#fileOf);
    return result as Answer;
  }

  /** Gives items to threads, the oldest first: it is the one the caller waits for. */
  #handOut(): void {
    if (this.#fit === 0 || this.#closed) this.#refuseWaiting(this.#lost?.reason);
    for (;;) {
      const [thread, job] = [this.#free[0], this.#waiting[0]];
      if (thread === undefined || job === undefined) return;
      this.#free.shift();
      this.#waiting.shift();
      void this.#work(thread, job);
    }
  }

  async #prepare(thread: WorkerThread, setup: WorkerSetup): Promise<void> {
    try {
      await thread.ask({ kind: 'setup', setup });
      this.#free.push(thread);
    } catch (error) {
      this.#lose(error);
    }
    this.#handOut();
  }

  async #work(thread: WorkerThread, { item, resolve, reject }: Job): Promise<void> {
    try {
      resolve((await thread.ask({ kind: 'item', item })) as WorkResult);
      this.#free.push(thread);
    } catch (error) {
      this.#lose(error);
      reject(error);
    }
    this.#handOut();
  }

  /** A thread that threw gets no other item, and is not replaced: the run fails with it. */
  #lose(reason: unknown): void {
    this.#fit -= 1;
    if (!this.#closed) this.#lost ??= { reason };
  }

  #refuseWaiting(reason: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
  }

  #slotOf(memory: SharedArrayBuffer, slot: number): Uint8Array {
    return new Uint8Array(memory).subarray(slot * this.#itemSize, (slot + 1) * this.#itemSize);
  }
}
