/** Cuts mapped ranges. */
import type { CompressedPayloads, LayerRange } from './source.js';

/** @param bytes from the range's start, less than its length @returns the rest of the range from there on */
export function sliceRange<Range extends LayerRange>(range: Range, bytes: number): Range {
  const length = range.length - bytes;
  if (range.kind === 'data') return { ...range, length, offset: range.offset + bytes };
  if (range.kind === 'compressed') return { ...range, length, skip: range.skip + bytes };
  return { ...range, length };
}

/**
 * Omits the payloads of clusters that a part of a range does not need.
 * @param skip bytes of the inflated clusters before the part
 * @param length bytes of the part, at least 1
 */
export function cutPayloads(
  payloads: CompressedPayloads,
  skip: number,
  length: number,
): { readonly payloads: CompressedPayloads; readonly skip: number } {
  const { clusterSize, places } = payloads;
  const first = Math.floor(skip / clusterSize);
  const end = Math.ceil((skip + length) / clusterSize);
  return {
    payloads: { ...payloads, places: places.slice(2 * first, 2 * end) },
    skip: skip - first * clusterSize,
  };
}
