/** Space of an image file that holds nothing. Used by the allocator and the writer of an image that is replaced. */

/** Half-open, in bytes; multiples of the allocation unit. `to` is Infinity for the space behind the file. */
export interface FreeRange {
  readonly from: number;
  readonly to: number;
}

/** A range of this many bytes, twice the longest run of clusters, is worth using in a file of any size. */
const LARGE_RANGE = 4 * 1024 * 1024;
/** Ranges shorter than this many bytes are not worth a write of their own. */
const SMALLEST_RANGE = 64 * 1024;
/** A small file is cut into no more pieces than this. */
const MOST_PIECES = 64;
/** There are never more ranges than this. */
const MOST_RANGES = 65536;

/**
 * The least length of a free range that is used again, in bytes. A range shorter than that is left alone, so that
 * neither memory nor the number of pieces of an image grows with each rewrite.
 * @param fileSize bytes
 * @param longestTable bytes of the longest table that must lie in one piece
 */
export function leastFreeRange(fileSize: number, longestTable: number): number {
  const worthwhile = Math.min(LARGE_RANGE, Math.max(SMALLEST_RANGE, Math.ceil(fileSize / MOST_PIECES)));
  return Math.max(worthwhile, 2 * longestTable, Math.ceil(fileSize / MOST_RANGES));
}
