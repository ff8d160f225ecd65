/**
 * The refcounts of an image that is being written: blocks are kept in memory only while clusters in
 * their reach can still change, then handed out to be placed. The refcount table stays: 8 bytes for
 * each block, 4 bytes for each GiB of image at the default sizes.
 */
import { internalError, Qcow2cError } from '../errors.js';
import type { HostCluster, HostOffset } from './addresses.js';
import { writeU64 } from './be64.js';
import { type Geometry, MAX_REFCOUNT_TABLE_BYTES, TABLE_ENTRY_BYTES } from './geometry.js';
import { getRefcount, setRefcount } from './refcount-block.js';

/** A refcount block without a place. */
export interface RefcountBlock {
  readonly index: number;
  readonly bytes: Uint8Array;
}

export class Refcounts {
  readonly #geometry: Geometry;
  /** Blocks that may still change, by index. */
  readonly #open = new Map<number, Uint8Array>();
  /** Where the blocks are, in bytes; undefined until placed. */
  readonly #table: (HostOffset | undefined)[] = [];
  /** Blocks below this index are closed: taken to be placed. */
  #closed = 0;

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
  }

  /** How often `cluster` is referenced so far. */
  get(cluster: HostCluster): number {
    const block = this.#open.get(Math.floor(cluster / this.#geometry.refcountBlockEntries));
    if (block === undefined) return 0;
    return getRefcount(block, cluster % this.#geometry.refcountBlockEntries, this.#geometry.refcountBits);
  }

  /** Counts one more reference. @throws Qcow2cError ERR_INTERNAL past the width's maximum */
  increment(cluster: HostCluster): void {
    const { refcountBlockEntries, refcountBits, clusterSize } = this.#geometry;
    const index = Math.floor(cluster / refcountBlockEntries);
    if (index < this.#closed)
      throw internalError(`host cluster ${cluster} is counted after its block was closed`);
    let block = this.#open.get(index);
    if (block === undefined) {
      block = new Uint8Array(clusterSize);
      this.#open.set(index, block);
    }
    const entry = cluster % refcountBlockEntries;
    setRefcount(block, entry, refcountBits, getRefcount(block, entry, refcountBits) + 1);
  }

  /**
   * Closes every block all of whose clusters lie below `cluster`, and hands out those with entries.
   * @param cluster no refcount below it will change again
   */
  takeComplete(cluster: HostCluster): RefcountBlock[] {
    const complete: RefcountBlock[] = [];
    const end = Math.floor(cluster / this.#geometry.refcountBlockEntries);
    for (; this.#closed < end; this.#closed += 1) {
      const bytes = this.#open.get(this.#closed);
      if (bytes !== undefined) complete.push({ index: this.#closed, bytes });
      this.#open.delete(this.#closed);
    }
    return complete;
  }

  /** The indices of the blocks that may still change. */
  openBlocks(): Iterable<number> {
    return this.#open.keys();
  }

  /** Remembers where a block went. */
  place(block: RefcountBlock, offset: HostOffset): void {
    this.#table[block.index] = offset;
  }

  /**
   * How many clusters the remaining blocks and the table need when they, and `further` clusters behind
   * them, start at `first`. Blocks count themselves and the table, so this goes on until nothing changes.
   * @throws Qcow2cError ERR_LIMIT when the table would be larger than QEMU opens
   */
  sizeOfRest(
    first: HostCluster,
    further: number,
  ): { readonly blocks: number; readonly tableClusters: number } {
    const { refcountBlockEntries, clusterSize } = this.#geometry;
    let blocks = 0;
    let tableClusters = 1;
    for (;;) {
      const end = first + blocks + tableClusters + further;
      const reached = this.#blocksWith(first, end);
      const entries = Math.ceil(end / refcountBlockEntries);
      const clusters = Math.ceil((entries * TABLE_ENTRY_BYTES) / clusterSize);
      if (reached === blocks && clusters === tableClusters) break;
      blocks = reached;
      tableClusters = clusters;
    }
    if (tableClusters * clusterSize > MAX_REFCOUNT_TABLE_BYTES) {
      throw new Qcow2cError(
        'ERR_LIMIT',
        'The image is too large for its refcount table; use larger clusters',
        {
          expected: MAX_REFCOUNT_TABLE_BYTES,
          found: tableClusters * clusterSize,
        },
      );
    }
    return { blocks, tableClusters };
  }

  /** Hands out all blocks that are left, in order. */
  takeRest(): RefcountBlock[] {
    const rest = [...this.#open].map(([index, bytes]) => ({ index, bytes }));
    this.#open.clear();
    return rest.sort((a, b) => a.index - b.index);
  }

  /** The refcount table in its on-disk form: one offset for each block, 0 for a block without entries. */
  encodeTable(tableClusters: number): Uint8Array {
    const bytes = new Uint8Array(tableClusters * this.#geometry.clusterSize);
    for (const [index, offset] of this.#table.entries()) {
      if (offset !== undefined) writeU64(bytes, index * TABLE_ENTRY_BYTES, BigInt(offset));
    }
    return bytes;
  }

  /** How many blocks are open once the clusters [first, end) are counted too. */
  #blocksWith(first: number, end: number): number {
    const { refcountBlockEntries } = this.#geometry;
    const open = new Set(this.#open.keys());
    for (
      let index = Math.floor(first / refcountBlockEntries);
      index * refcountBlockEntries < end;
      index += 1
    ) {
      open.add(index);
    }
    return open.size;
  }
}
