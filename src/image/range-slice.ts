/** Cuts mapped ranges. */
import type { LayerRange } from './source.js';

/** @param bytes from the range's start, less than its length @returns the rest of the range from there on */
export function sliceRange<Range extends LayerRange>(range: Range, bytes: number): Range {
  const length = range.length - bytes;
  if (range.kind === 'data') return { ...range, length, offset: range.offset + bytes };
  if (range.kind === 'compressed') return { ...range, length, skip: range.skip + bytes };
  return { ...range, length };
}
