/**
 * Gathers whole clusters (normal clusters and complete tables) and places them together: one run of
 * contiguous host clusters, one large aligned write. The fewer the runs, the less often the stream of
 * compressed clusters is interrupted, and each interruption wastes the rest of a host cluster.
 */
import { alignedMemory, roundUp } from '../storage/aligned-memory.js';
import type { FileRange, OverlapGuard } from '../storage/overlap-guard.js';
import { type HostOffset, hostOffset } from './addresses.js';
import type { ClusterAllocator } from './cluster-allocator.js';

/** Bytes gathered before a run is placed: the largest write that still makes a disk faster. */
const RUN_BYTES = 2 * 1024 * 1024;

interface Waiting {
  /** A table is copied only when it is placed: entries of clusters before it are not known earlier. */
  readonly table: Uint8Array | undefined;
  readonly placed: (offset: HostOffset) => void;
}

export class ClusterRun {
  readonly #guard: OverlapGuard;
  readonly #allocator: ClusterAllocator;
  readonly #clusterSize: number;
  readonly #unit: number;
  readonly #capacity: number;
  /** One is filled while the other is written. */
  readonly #memories: readonly [Uint8Array, Uint8Array];
  #turn: 0 | 1 = 0;
  #waiting: Waiting[] = [];
  #inFlight: Promise<void> = Promise.resolve();

  /** @param unit bytes that a run is padded to, as in the allocator */
  constructor(guard: OverlapGuard, allocator: ClusterAllocator, clusterSize: number, unit: number) {
    this.#guard = guard;
    this.#allocator = allocator;
    this.#clusterSize = clusterSize;
    this.#unit = unit;
    this.#capacity = Math.max(1, RUN_BYTES / clusterSize);
    const bytes = this.#capacity * clusterSize;
    this.#memories = [alignedMemory(bytes), alignedMemory(bytes)];
  }

  /**
   * Adds a normal cluster; its bytes are copied at once.
   * @param placed told where the cluster is, before anything that is added later
   */
  async addCluster(bytes: Uint8Array, placed: (offset: HostOffset) => void): Promise<void> {
    this.#memories[this.#turn].set(bytes, this.#waiting.length * this.#clusterSize);
    this.#waiting.push({ table: undefined, placed });
    if (this.#waiting.length === this.#capacity) await this.place();
  }

  /** Adds a table of one cluster; its bytes are taken when it is placed and must then be complete. */
  async addTable(table: Uint8Array, placed: (offset: HostOffset) => void): Promise<void> {
    this.#waiting.push({ table, placed });
    if (this.#waiting.length === this.#capacity) await this.place();
  }

  /**
   * Places what has been gathered and starts its write; waits for the write before it.
   * @throws that write's error
   */
  async place(): Promise<void> {
    const gathered = this.#waiting;
    if (gathered.length === 0) return;
    this.#waiting = [];
    const memory = this.#memories[this.#turn];
    const start = this.#allocator.allocateRun(gathered.length);
    const tables: FileRange[] = [];
    for (const [index, { table, placed }] of gathered.entries()) {
      const at = index * this.#clusterSize;
      placed(hostOffset(start + at));
      if (table === undefined) continue;
      memory.set(table, at);
      tables.push({ offset: start + at, length: this.#clusterSize });
    }
    const filled = gathered.length * this.#clusterSize;
    const run = memory.subarray(0, roundUp(filled, this.#unit)).fill(0, filled);
    this.#turn = this.#turn === 0 ? 1 : 0;
    await this.#inFlight;
    this.#inFlight = this.#guard.writeTables(start, [run], tables);
    // Looked at by the next place or finish; nobody else is told.
    this.#inFlight.catch(() => {});
  }

  /** Places the rest and waits until everything is on the descriptor. */
  async finish(): Promise<void> {
    await this.place();
    await this.#inFlight;
  }
}
