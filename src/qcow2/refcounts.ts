/**
 * The refcounts of an image being written. A block gets its place in the file before the first cluster in its range
 * is counted. It stays in memory only while its refcounts can change. The refcount table stays in memory: 8 bytes
 * for each block, 4 bytes for each GiB of image at the default sizes.
 */
import { internalError, Qcow2cError } from '../errors.js';
import { type HostCluster, type HostOffset, hostOffset } from './addresses.js';
import { writeU64 } from './be64.js';
import { type Geometry, MAX_REFCOUNT_TABLE_BYTES, TABLE_ENTRY_BYTES } from './geometry.js';
import { getRefcount, setRefcount } from './refcount-block.js';

/** A refcount block and its place in the file. */
export interface RefcountBlock {
  /** Offset in the file, in bytes. */
  readonly offset: HostOffset;
  /** One cluster. */
  readonly bytes: Uint8Array;
}

export class Refcounts {
  readonly #geometry: Geometry;
  /** Blocks that may still change, by index. */
  readonly #open = new Map<number, RefcountBlock>();
  /** Offsets of the blocks in bytes; undefined: no cluster of the block is counted. */
  readonly #table: (HostOffset | undefined)[] = [];
  /** Blocks below this index are closed, except those kept open. */
  #closed = 0;
  /** Indexes of blocks that stay open until the end. */
  #kept = { first: 0, end: 0 };

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
  }

  /** The number of entries in the refcount table, up to the last block with a place. */
  get tableEntries(): number {
    return this.#table.length;
  }

  /** The indexes of the blocks that have a place. */
  placedBlocks(): number[] {
    return [...this.#table.keys()].filter((index) => this.#table[index] !== undefined);
  }

  /** Number of references to `cluster` so far. */
  get(cluster: HostCluster): number {
    const block = this.#open.get(this.#blockOf(cluster));
    if (block === undefined) return 0;
    const { refcountBlockEntries, refcountBits } = this.#geometry;
    return getRefcount(block.bytes, cluster % refcountBlockEntries, refcountBits);
  }

  /** Whether the block that counts `cluster` has its place. */
  isPlaced(cluster: HostCluster): boolean {
    return this.#table[this.#blockOf(cluster)] !== undefined;
  }

  /**
   * Sets the place of the block that counts `cluster`, once.
   * @param offset of the block in the file, in bytes
   * @throws Qcow2cError ERR_LIMIT when the refcount table would be larger than QEMU opens
   */
  place(cluster: HostCluster, offset: HostOffset): void {
    const index = this.#blockOf(cluster);
    if (this.#table[index] !== undefined) throw internalError(`refcount block ${index} is placed twice`);
    if ((index + 1) * TABLE_ENTRY_BYTES > MAX_REFCOUNT_TABLE_BYTES) {
      throw new Qcow2cError(
        'ERR_LIMIT',
        'The image is too large for its refcount table; use larger clusters',
        { expected: MAX_REFCOUNT_TABLE_BYTES, found: (index + 1) * TABLE_ENTRY_BYTES },
      );
    }
    this.#table[index] = offset;
    this.#open.set(index, { offset, bytes: new Uint8Array(this.#geometry.clusterSize) });
  }

  /**
   * Counts one more reference. The cluster's block must have its place.
   * @throws Qcow2cError ERR_INTERNAL past the width's maximum
   */
  increment(cluster: HostCluster): void {
    const { refcountBlockEntries, refcountBits } = this.#geometry;
    const block = this.#open.get(this.#blockOf(cluster));
    if (block === undefined) {
      throw internalError(`host cluster ${cluster} is counted while its refcount block is not open`);
    }
    const entry = cluster % refcountBlockEntries;
    setRefcount(block.bytes, entry, refcountBits, getRefcount(block.bytes, entry, refcountBits) + 1);
  }

  /** Keeps the blocks of the clusters [first, end) open until `takeRest`, because these are counted last. */
  keepOpen(first: HostCluster, end: HostCluster): void {
    this.#kept = { first: this.#blockOf(first), end: Math.ceil(end / this.#geometry.refcountBlockEntries) };
  }

  /**
   * Closes and returns every block whose clusters all lie below `cluster`.
   * @param cluster refcounts below it are final, except in blocks that are kept open
   */
  takeComplete(cluster: HostCluster): RefcountBlock[] {
    const complete: RefcountBlock[] = [];
    for (const end = this.#blockOf(cluster); this.#closed < end; this.#closed += 1) {
      const block = this.#open.get(this.#closed);
      const isKept = this.#closed >= this.#kept.first && this.#closed < this.#kept.end;
      if (block === undefined || isKept) continue;
      complete.push(block);
      this.#open.delete(this.#closed);
    }
    return complete;
  }

  /** Returns all remaining blocks. */
  takeRest(): RefcountBlock[] {
    const rest = [...this.#open.values()];
    this.#open.clear();
    return rest;
  }

  /** Encodes the refcount table: one offset for each block, 0 where there is none. */
  encodeTable(tableClusters: number): Uint8Array {
    const bytes = new Uint8Array(tableClusters * this.#geometry.clusterSize);
    for (const [index, offset] of this.#table.entries()) {
      if (offset !== undefined) writeU64(bytes, index * TABLE_ENTRY_BYTES, BigInt(offset));
    }
    return bytes;
  }

  /** The index of the block that counts `cluster`. */
  #blockOf(cluster: HostCluster): number {
    return Math.floor(cluster / this.#geometry.refcountBlockEntries);
  }
}

/** Stands for the place of a block that has none: an offset past the end of any file. */
const NO_PLACE = hostOffset(2 ** 50);

/**
 * The refcounts of an image that is replaced. Its blocks take no space yet: they get their places at the end, when
 * all references are counted again.
 */
export class RecountedRefcounts extends Refcounts {
  override isPlaced(cluster: HostCluster): boolean {
    if (!super.isPlaced(cluster)) this.place(cluster, NO_PLACE);
    return true;
  }

  /** Forgets the complete blocks: their refcounts are counted again. */
  override takeComplete(cluster: HostCluster): RefcountBlock[] {
    super.takeComplete(cluster);
    return [];
  }
}
