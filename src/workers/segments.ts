/** A range of a source's map as the segment that a worker reads. */
import type { MappedRange, Source } from '../image/source.js';
import type { Segment } from './messages.js';

/**
 * @param range that the segment begins with
 * @param at where in the item, in bytes
 * @param length bytes of it, at most the range's
 * @returns undefined for what holds no bytes: zeros, and what cannot be read
 */
export function segmentOf(range: MappedRange, at: number, length: number): Segment | undefined {
  switch (range.kind) {
    case 'data': {
      const { descriptor, offset } = range;
      return { kind: 'data', at, length, descriptor, offset };
    }
    case 'compressed': {
      const { payload, skip } = range;
      const { type, descriptor, offset, storedLength, clusterSize: inflatedLength } = payload;
      return { kind: 'compressed', at, length, type, descriptor, offset, storedLength, inflatedLength, skip };
    }
    default:
      return undefined;
  }
}

/**
 * All segments of a guest range.
 * @param from bytes, and `length` bytes from there; what lies past the source's end is zeros
 * @throws what the source's map throws, or says of what cannot be read
 */
export async function segmentsOf(source: Source, from: number, length: number): Promise<Segment[]> {
  const segments: Segment[] = [];
  const end = Math.min(from + length, source.size);
  for (let at = from; at < end; ) {
    const range = await source.map(at);
    if (range.kind === 'unreadable') throw range.error;
    const part = Math.min(range.length, end - at);
    const segment = segmentOf(range, at - from, part);
    if (segment !== undefined) segments.push(segment);
    at += part;
  }
  return segments;
}
