/**
 * Gathers normal clusters and places them together: one run of contiguous host clusters, one large aligned write.
 * The fewer the runs, the less often the stream of compressed clusters is interrupted, and each interruption
 * wastes the rest of a host cluster. Clusters that are only reserved take their place in a run, but neither memory
 * nor a write: they stay holes of the file.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import { alignedMemory } from '../system/aligned-memory.js';
import { type HostOffset, hostOffset } from './addresses.js';
import type { ClusterAllocator } from './cluster-allocator.js';

/** Bytes gathered before a run is placed: the largest write that still makes a disk faster. */
const RUN_BYTES = 2 * 1024 * 1024;

/** What waits at most; more than clusters that fill the memory, so only many single reservations come to it. */
const MOST_WAITING = 8192;

interface Waiting {
  /** From the run's start, in bytes. */
  readonly at: number;
  readonly placed: (offset: HostOffset) => void;
}

/** Clusters that lie one behind the other in the file and in memory. In bytes. */
interface Piece {
  /** From the run's start, a multiple of the unit; so is `memoryAt`. */
  readonly at: number;
  readonly memoryAt: number;
}

export class ClusterRun {
  readonly #guard: OverlapGuard;
  readonly #allocator: ClusterAllocator;
  readonly #clusterSize: number;
  readonly #unit: number;
  /** One is filled while the other is written. */
  readonly #memories: readonly [Uint8Array, Uint8Array];
  #turn: 0 | 1 = 0;
  #waiting: Waiting[] = [];
  #pieces: Piece[] = [];
  /** Bytes of the run so far, and of the memory. */
  #length = 0;
  #filled = 0;
  /** Bytes that others keep until the run is placed. */
  #kept = 0;
  #inFlight: Promise<void> = Promise.resolve();

  /** @param unit bytes that a write is padded to, as in the allocator */
  constructor(guard: OverlapGuard, allocator: ClusterAllocator, clusterSize: number, unit: number) {
    this.#guard = guard;
    this.#allocator = allocator;
    this.#clusterSize = clusterSize;
    this.#unit = unit;
    const bytes = Math.max(clusterSize, RUN_BYTES);
    this.#memories = [alignedMemory(bytes), alignedMemory(bytes)];
  }

  /**
   * Adds a normal cluster; its bytes are copied at once.
   * @param placed told where the cluster is, before anything that is added later
   */
  async addCluster(bytes: Uint8Array, placed: (offset: HostOffset) => void): Promise<void> {
    if (!this.#hasRoom()) await this.place();
    this.#waiting.push({ at: this.#length, placed });
    this.#memories[this.#turn].set(bytes, this.#takeMemory());
    if (this.#isFull()) await this.place();
  }

  /**
   * Waits for the places of all clusters that were added before, which a table may refer to.
   * @param bytes of the table: after so many as fill a run this is placed
   * @param placed called then; at once when no cluster waits
   */
  async whenPlaced(bytes: number, placed: () => void): Promise<void> {
    if (this.#waiting.length === 0) return placed();
    this.#waiting.push({ at: this.#length, placed });
    this.#kept += bytes;
    if (this.#kept >= RUN_BYTES) await this.place();
  }

  /**
   * Adds clusters that nobody writes.
   * @param placed told where the first of them is, before anything that is added later
   */
  async reserve(clusters: number, placed: (offset: HostOffset) => void): Promise<void> {
    this.#waiting.push({ at: this.#length, placed });
    this.#length += clusters * this.#clusterSize;
    if (this.#waiting.length >= MOST_WAITING) await this.place();
  }

  /**
   * Places what has been gathered and starts its write; waits for the write before it.
   * @throws that write's error
   */
  async place(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const [waiting, pieces, filled] = [this.#waiting, this.#pieces, this.#filled];
    const memory = this.#memories[this.#turn];
    const start = this.#allocator.allocateRun(this.#length / this.#clusterSize);
    for (const { at, placed } of waiting) placed(hostOffset(start + at));
    const run = memory.subarray(0, roundUp(filled, this.#unit)).fill(0, filled);
    this.#waiting = [];
    this.#pieces = [];
    this.#length = 0;
    this.#filled = 0;
    this.#kept = 0;
    this.#turn = this.#turn === 0 ? 1 : 0;
    await this.#inFlight;
    this.#inFlight = this.#write(start, run, pieces);
    // Looked at by the next place or finish; nobody else is told.
    this.#inFlight.catch(() => {});
  }

  /** Places the rest and waits until everything is on the descriptor. */
  async finish(): Promise<void> {
    await this.place();
    await this.#inFlight;
  }

  /** Bytes of zeros before the next cluster: where reserved clusters share a unit with what is written. */
  #gap(): { readonly behind: number; readonly before: number; readonly joins: boolean } {
    const last = this.#pieces.at(-1);
    if (last === undefined) {
      return { behind: 0, before: this.#length % this.#unit, joins: false };
    }
    const end = last.at + this.#filled - last.memoryAt;
    const joins = roundUp(end, this.#unit) >= roundDown(this.#length, this.#unit);
    if (joins) return { behind: 0, before: this.#length - end, joins };
    return { behind: roundUp(end, this.#unit) - end, before: this.#length % this.#unit, joins };
  }

  #hasRoom(): boolean {
    const { behind, before } = this.#gap();
    return this.#filled + behind + before + this.#clusterSize <= this.#memories[this.#turn].length;
  }

  #isFull(): boolean {
    return this.#filled === this.#memories[this.#turn].length;
  }

  /** Takes the next cluster of the run, and memory for it. @returns where in the memory */
  #takeMemory(): number {
    const { behind, before, joins } = this.#gap();
    const memoryAt = this.#filled + behind + before;
    this.#memories[this.#turn].fill(0, this.#filled, memoryAt);
    if (!joins) this.#pieces.push({ at: this.#length - before, memoryAt: memoryAt - before });
    this.#length += this.#clusterSize;
    this.#filled = memoryAt + this.#clusterSize;
    return memoryAt;
  }

  /** Writes every piece; the memory is free again when this settles. @throws the first piece's error */
  async #write(start: HostOffset, run: Uint8Array, pieces: readonly Piece[]): Promise<void> {
    const writes = pieces.map(({ at, memoryAt }, index) =>
      this.#guard.write(start + at, [run.subarray(memoryAt, pieces[index + 1]?.memoryAt)]),
    );
    for (const outcome of await Promise.allSettled(writes)) {
      if (outcome.status === 'rejected') throw outcome.reason;
    }
  }
}
