/** Segments: the parts of an item for which a source has bytes. A worker reads them; the rest of the item is zeros. */
import { cutPayloads } from '../image/range-slice.js';
import type { CompressedPayloads, MappedRange, Source } from '../image/source.js';

/** In bytes. */
export type Segment = DataSegment | CompressedSegment | ArrivedSegment;

interface SegmentPlace {
  /** From the item's start. */
  readonly at: number;
  readonly length: number;
}

/** Bytes stored in a file as they are. */
export interface DataSegment extends SegmentPlace {
  readonly kind: 'data';
  readonly descriptor: number;
  /** Offset in the file behind the descriptor. */
  readonly offset: number;
}

/** Bytes of successive compressed clusters. */
export interface CompressedSegment extends SegmentPlace {
  readonly kind: 'compressed';
  /** Of the clusters that the segment touches, and no others. */
  readonly payloads: CompressedPayloads;
  /** Bytes of the first inflated cluster before the segment. */
  readonly skip: number;
}

/** Bytes that have arrived in memory, from a stream or a file: in the item's slot of `arrivals`, at `at`. */
export interface ArrivedSegment extends SegmentPlace {
  readonly kind: 'arrived';
}

/**
 * @param range the segment is its first part
 * @param at start of the segment, in bytes from the item's start
 * @param length bytes of the segment
 * @returns undefined for a range without bytes: zeros, or unreadable
 */
export function segmentOf(range: MappedRange, at: number, length: number): Segment | undefined {
  switch (range.kind) {
    case 'data': {
      const { descriptor, offset } = range;
      return { kind: 'data', at, length, descriptor, offset };
    }
    case 'compressed':
      return { kind: 'compressed', at, length, ...cutPayloads(range.payloads, range.skip, length) };
    default:
      return undefined;
  }
}

/**
 * @param from start of a guest range, in bytes
 * @param length bytes of the range; bytes past the source's end are zeros
 * @returns all segments of the range
 * @throws errors of the source's map, or the error of an unreadable range
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

/** @returns the parts of the segments in [from, to), bytes from the item's start. No segment may be `arrived` */
export function cutSegments(segments: readonly Segment[], from: number, to: number): Segment[] {
  const inside: Segment[] = [];
  for (const segment of segments) {
    const at = Math.max(segment.at, from);
    const length = Math.min(segment.at + segment.length, to) - at;
    if (length <= 0) continue;
    const skipped = at - segment.at;
    if (segment.kind === 'data') inside.push({ ...segment, at, length, offset: segment.offset + skipped });
    if (segment.kind === 'compressed') {
      const { payloads, skip } = segment;
      inside.push({ ...segment, at, length, ...cutPayloads(payloads, skip + skipped, length) });
    }
  }
  return inside;
}

/** @returns the segments moved by `bytes` away from the item's start */
export function moveSegments(segments: readonly Segment[], bytes: number): Segment[] {
  return segments.map((segment) => ({ ...segment, at: segment.at + bytes }));
}
