/**
 * Gathers normal clusters into runs of contiguous host clusters, and writes each run at once. Each run interrupts the
 * stream of compressed clusters, which wastes the rest of a host cluster, so there should be few. Reserved clusters are
 * part of a run but are not written: they stay holes of the file.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import { alignedMemory } from '../system/aligned-memory.js';
import { copyBytes } from '../system/copy-bytes.js';
import { type HostOffset, hostOffset } from './addresses.js';
import type { ClusterAllocator } from './cluster-allocator.js';

/** Bytes gathered before a run gets its place in the file. Larger writes do not make disks faster. */
const RUN_BYTES = 2 * 1024 * 1024;

/** Runs that are written at the same time: the disk has the next write when one ends. */
const WRITES = 2;

/** Most waiting callbacks. Only single reservations can reach this; clusters with bytes fill the memory first. */
const MOST_WAITING = 8192;

interface Waiting {
  /** From the run's start, in bytes. */
  readonly at: number;
  readonly placed: (offset: HostOffset) => void;
}

/** Clusters that are contiguous in the file and in memory. In bytes. */
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
  /** One is filled while the others are written. */
  readonly #memories: readonly Uint8Array[];
  /** Runs so far. */
  #placed = 0;
  #waiting: Waiting[] = [];
  #pieces: Piece[] = [];
  /** Bytes of the run so far. */
  #length = 0;
  /** Bytes of memory in use. */
  #filled = 0;
  /** Bytes of tables that callers keep until the run is placed. */
  #kept = 0;
  /** The writes under way, the oldest first. They never reject. */
  readonly #writes: Promise<void>[] = [];
  /** The first error of a write. */
  #failure: { readonly error: unknown } | undefined;

  /** @param unit bytes to which writes are padded, as in the allocator */
  constructor(guard: OverlapGuard, allocator: ClusterAllocator, clusterSize: number, unit: number) {
    this.#guard = guard;
    this.#allocator = allocator;
    this.#clusterSize = clusterSize;
    this.#unit = unit;
    const bytes = Math.max(clusterSize, RUN_BYTES);
    this.#memories = Array.from({ length: WRITES + 1 }, () => alignedMemory(bytes));
  }

  /**
   * Adds a normal cluster; its bytes are copied at once.
   * @param placed called with the cluster's place, before the callbacks of later clusters
   */
  async addCluster(bytes: Uint8Array, placed: (offset: HostOffset) => void): Promise<void> {
    if (!this.#hasRoom()) await this.place();
    this.#waiting.push({ at: this.#length, placed });
    const memory = this.#memory;
    copyBytes(memory, this.#takeMemory(), bytes);
    if (this.#isFull()) await this.place();
  }

  /**
   * Calls back when all clusters added before have places. A table that refers to them can then be written.
   * @param bytes of the table, which waits in memory: once these reach the size of a run, the run is placed
   * @param placed called then, or at once if no cluster waits
   */
  async whenPlaced(bytes: number, placed: () => void): Promise<void> {
    if (this.#waiting.length === 0) return placed();
    this.#waiting.push({ at: this.#length, placed });
    this.#kept += bytes;
    if (this.#kept >= RUN_BYTES) await this.place();
  }

  /**
   * Adds clusters that are not written.
   * @param placed called with the place of the first one, before the callbacks of later clusters
   */
  async reserve(clusters: number, placed: (offset: HostOffset) => void): Promise<void> {
    this.#waiting.push({ at: this.#length, placed });
    this.#length += clusters * this.#clusterSize;
    if (this.#waiting.length >= MOST_WAITING) await this.place();
  }

  /**
   * Places the gathered clusters and starts their write, once there is memory for the next ones.
   * @throws the first error of a write, after which every call throws it
   */
  async place(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const [waiting, pieces, filled] = [this.#waiting, this.#pieces, this.#filled];
    const memory = this.#memory;
    const start = this.#allocator.allocateRun(this.#length / this.#clusterSize);
    for (const { at, placed } of waiting) placed(hostOffset(start + at));
    const run = memory.subarray(0, roundUp(filled, this.#unit)).fill(0, filled);
    this.#waiting = [];
    this.#pieces = [];
    this.#length = 0;
    this.#filled = 0;
    this.#kept = 0;
    this.#placed += 1;
    if (this.#writes.length === WRITES) await this.#writes.shift();
    this.#refuseFailure();
    const write = this.#write(start, run, pieces).catch((error: unknown) => {
      this.#failure ??= { error };
    });
    this.#writes.push(write);
  }

  /** Places the rest and waits until all bytes are on the descriptor. */
  async finish(): Promise<void> {
    await this.place();
    for (const write of this.#writes.splice(0)) await write;
    this.#refuseFailure();
  }

  /** The one that is filled. */
  get #memory(): Uint8Array {
    return this.#memories[this.#placed % this.#memories.length] as Uint8Array;
  }

  #refuseFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** The zero bytes to write before the next cluster, if reserved clusters share a unit with written ones. */
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
    return this.#filled + behind + before + this.#clusterSize <= this.#memory.length;
  }

  #isFull(): boolean {
    return this.#filled === this.#memory.length;
  }

  /** Adds a cluster to the run and reserves memory for it. @returns its offset in the memory */
  #takeMemory(): number {
    const { behind, before, joins } = this.#gap();
    const memoryAt = this.#filled + behind + before;
    this.#memory.fill(0, this.#filled, memoryAt);
    if (!joins) this.#pieces.push({ at: this.#length - before, memoryAt: memoryAt - before });
    this.#length += this.#clusterSize;
    this.#filled = memoryAt + this.#clusterSize;
    return memoryAt;
  }

  /** Writes every piece; the memory is free again when this settles. @throws the error of the first piece */
  async #write(start: HostOffset, run: Uint8Array, pieces: readonly Piece[]): Promise<void> {
    const writes = pieces.map(({ at, memoryAt }, index) =>
      this.#guard.write(start + at, [run.subarray(memoryAt, pieces[index + 1]?.memoryAt)]),
    );
    for (const outcome of await Promise.allSettled(writes)) {
      if (outcome.status === 'rejected') throw outcome.reason;
    }
  }
}
