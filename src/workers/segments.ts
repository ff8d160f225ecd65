/** Segments: the parts of an item that a source has bytes for. A worker reads them; the rest of the item is zeros. */
import type { CompressionType } from '../compression-type.js';
import type { MappedRange, Source } from '../image/source.js';

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
  /** In the file behind the descriptor. */
  readonly offset: number;
}

/** Bytes of a compressed cluster. */
export interface CompressedSegment extends SegmentPlace {
  readonly kind: 'compressed';
  readonly type: CompressionType;
  readonly descriptor: number;
  /** Of the payload in the file. */
  readonly offset: number;
  /** Largest possible length of the payload; bytes past the end of the file read as zeros. */
  readonly storedLength: number;
  /** The payload inflates to exactly this many bytes. */
  readonly inflatedLength: number;
  /** Inflated bytes before the segment. */
  readonly skip: number;
}

/** Bytes that have arrived in memory, from a stream or a file: in the item's slot of `arrivals`, at the segment's place. */
export interface ArrivedSegment extends SegmentPlace {
  readonly kind: 'arrived';
}

/**
 * @param range that the segment begins with
 * @param at bytes from the item's start
 * @param length bytes of it, at most the range's
 * @returns undefined for a range without bytes: zeros, or unreadable
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
 * @param from bytes, and `length` bytes from there; past the source's end are zeros
 * @throws what the source's map throws, or the error of an unreadable range
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

/** The parts of segments in [from, to), bytes from the item's start. None of them has arrived from a stream. */
export function cutSegments(segments: readonly Segment[], from: number, to: number): Segment[] {
  const inside: Segment[] = [];
  for (const segment of segments) {
    const at = Math.max(segment.at, from);
    const length = Math.min(segment.at + segment.length, to) - at;
    if (length <= 0) continue;
    const skipped = at - segment.at;
    if (segment.kind === 'data') inside.push({ ...segment, at, length, offset: segment.offset + skipped });
    if (segment.kind === 'compressed') inside.push({ ...segment, at, length, skip: segment.skip + skipped });
  }
  return inside;
}

/** The same segments, `bytes` further from the item's start. */
export function moveSegments(segments: readonly Segment[], bytes: number): Segment[] {
  return segments.map((segment) => ({ ...segment, at: segment.at + bytes }));
}
