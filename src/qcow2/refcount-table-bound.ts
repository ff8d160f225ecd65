/**
 * Bounds the size of the refcount table of a new image, because its place is reserved before the compressed size is
 * known.
 */
import { largestArea } from './cluster-allocator.js';
import { type Geometry, MAX_REFCOUNT_TABLE_BYTES, TABLE_ENTRY_BYTES } from './geometry.js';

/** Most clusters of an image's parts. */
export interface ImageBounds {
  /** Clusters before the tables: the header, and the content of an existing file. */
  readonly before: number;
  /** Guest clusters stored in the file. */
  readonly data: number;
  readonly l1: number;
  readonly l2: number;
  /** Bits, tables and directory of the bitmaps. */
  readonly bitmaps: number;
}

/**
 * @param unit bytes in which space is allocated, as in the allocator
 * @returns most clusters of the refcount table, for any compressed sizes and any order of guest clusters; never more
 *   than QEMU opens
 */
export function refcountTableBound(geometry: Geometry, unit: number, bounds: ImageBounds): number {
  const { clusterSize, refcountBlockEntries } = geometry;
  const { before, data, l1, l2, bitmaps } = bounds;
  // A compressed cluster takes no more new space than a normal one. If the unit is larger than a cluster, the end of
  // each run wastes up to two units. Each table may begin an area and interrupt the stream.
  const wasted =
    Math.ceil(data / 16) + l2 + bitmaps + 2 * largestArea(geometry, unit) + (8 * unit) / clusterSize;
  const fixed = before + data + l1 + l2 + bitmaps + wasted;
  const most = MAX_REFCOUNT_TABLE_BYTES / clusterSize;
  // Blocks and table count themselves: find the smallest numbers that are large enough for the result.
  for (let blocks = 0, table = 1; ; ) {
    const clusters = fixed + 2 * blocks + table;
    const neededBlocks = Math.ceil(clusters / refcountBlockEntries);
    const neededTable = Math.ceil((neededBlocks * TABLE_ENTRY_BYTES) / clusterSize);
    if (neededTable >= most) return most;
    if (neededBlocks === blocks && neededTable === table) return table;
    blocks = neededBlocks;
    table = neededTable;
  }
}
