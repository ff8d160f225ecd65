/** Unused space of an image file that is written in place. */

/** Half-open, in bytes; multiples of the allocation unit. `to` is Infinity for the space after the file. */
export interface FreeRange {
  readonly from: number;
  readonly to: number;
}

/** Free ranges of this many bytes, twice the longest run of clusters, are used in a file of any size. */
const LARGE_RANGE = 4 * 1024 * 1024;
/** Ranges shorter than this, in bytes, are not used. */
const SMALLEST_RANGE = 64 * 1024;
/** Most ranges used in a small file. */
const MOST_PIECES = 64;
/** Most ranges used in any file. */
const MOST_RANGES = 65536;

/**
 * The minimum length of a free range to be reused, in bytes. It bounds memory, and the fragments of an image that is
 * rewritten often.
 * @param fileSize bytes
 * @param longestTable bytes of the longest table that must be contiguous
 */
export function leastFreeRange(fileSize: number, longestTable: number): number {
  const worthwhile = Math.min(LARGE_RANGE, Math.max(SMALLEST_RANGE, Math.ceil(fileSize / MOST_PIECES)));
  return Math.max(worthwhile, 2 * longestTable, Math.ceil(fileSize / MOST_RANGES));
}
