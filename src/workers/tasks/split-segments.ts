/** Splits the segments of an item so that each compressed cluster is a segment of its own, as a worker reads them. */
import type { CompressionType } from '../../compression-type.js';
import type { ArrivedSegment, DataSegment, Segment } from '../segments.js';
import { endsOfRuns } from './payload-runs.js';

export type SplitSegment = DataSegment | ClusterSegment | ArrivedSegment;

/** Bytes of a compressed cluster. Lengths and offsets in bytes. */
export interface ClusterSegment {
  readonly kind: 'compressed';
  /** From the item's start. */
  readonly at: number;
  readonly length: number;
  readonly type: CompressionType;
  readonly descriptor: number;
  /** Offset of the payload in the file. */
  readonly offset: number;
  /** Largest possible length of the payload; bytes past the end of the file read as zeros. */
  readonly storedLength: number;
  /** Of an export: where the payloads that the next segments need and that follow without a gap end, in bytes. */
  readonly runEnd: number | undefined;
  /** The payload inflates to exactly this many bytes. */
  readonly inflatedLength: number;
  /** Inflated bytes before the segment. */
  readonly skip: number;
}

/** @returns the same bytes in the same order */
export function splitSegments(segments: readonly Segment[]): SplitSegment[] {
  const split: SplitSegment[] = [];
  for (const segment of segments) {
    if (segment.kind !== 'compressed') {
      split.push(segment);
      continue;
    }
    const { places, clusterSize: inflatedLength, type, descriptor } = segment.payloads;
    const runEnds = endsOfRuns(descriptor, places, 2);
    const end = segment.at + segment.length;
    let { at, skip } = segment;
    for (let index = 0; at < end; index += 1, skip = 0) {
      const length = Math.min(inflatedLength - skip, end - at);
      const offset = places[2 * index] as number;
      const storedLength = places[2 * index + 1] as number;
      const payload = { type, descriptor, offset, storedLength, inflatedLength };
      split.push({ kind: 'compressed', at, length, skip, runEnd: runEnds?.[index], ...payload });
      at += length;
    }
  }
  return split;
}
