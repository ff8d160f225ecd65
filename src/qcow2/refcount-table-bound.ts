/**
 * How large the refcount table of a new image can become. Its place is reserved before it is known how well the
 * disk compresses. Used for the tables behind the header.
 */
import { largestArea } from './cluster-allocator.js';
import { type Geometry, MAX_REFCOUNT_TABLE_BYTES, TABLE_ENTRY_BYTES } from './geometry.js';

/** What an image holds at most, in clusters. */
export interface ImageBounds {
  /** Taken before the tables: by the header, and by what a kept file holds. */
  readonly before: number;
  /** Guest clusters that are stored in the file. */
  readonly data: number;
  readonly l1: number;
  readonly l2: number;
  /** Bits, tables and directory of the bitmaps. */
  readonly bitmaps: number;
}

/**
 * @param unit bytes in which space is handed out, as in the allocator
 * @returns clusters of the refcount table at most, whatever guest clusters compress to and in whatever order they
 *   come; never more than QEMU opens
 */
export function refcountTableBound(geometry: Geometry, unit: number, bounds: ImageBounds): number {
  const { clusterSize, refcountBlockEntries } = geometry;
  const { before, data, l1, l2, bitmaps } = bounds;
  // A compressed cluster takes no more new space than a normal one. Only where the unit is larger than a cluster,
  // the end of each run wastes up to two units. Each table may begin an area, and interrupt the stream.
  const wasted =
    Math.ceil(data / 16) + l2 + bitmaps + 2 * largestArea(geometry, unit) + (8 * unit) / clusterSize;
  const fixed = before + data + l1 + l2 + bitmaps + wasted;
  const most = MAX_REFCOUNT_TABLE_BYTES / clusterSize;
  // Blocks and table count themselves: the smallest numbers with room for what they ask for.
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
