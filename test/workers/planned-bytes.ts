/** The source of every byte according to planned items, for comparison with the map. */
import type { Segment } from '../../src/workers/segments.js';
import { meaningOf } from '../image/fake-layer.js';

/**
 * Writes down what each byte of an item is, in the words of `meaningOf`.
 * @param segments of the item; they must be ascending, of some length, and inside of it
 * @param into of the disk; what no segment covers stays as it is
 */
export function putSegments(
  segments: readonly Segment[],
  item: { readonly guestOffset: number; readonly length: number },
  into: string[],
): void {
  let end = 0;
  for (const segment of segments) {
    const { at, length } = segment;
    if (at < end || length < 1 || at + length > item.length) throw new Error(`segment at ${at} + ${length}`);
    end = at + length;
    for (let byte = 0; byte < length; byte += 1) {
      into[item.guestOffset + at + byte] = meaningOfSegment(segment, byte);
    }
  }
}

function meaningOfSegment(segment: Segment, byte: number): string {
  switch (segment.kind) {
    case 'data':
      return `data ${segment.descriptor}:${segment.offset + byte}`;
    case 'compressed': {
      const { kind, payloads, skip, length } = segment;
      const clusters = payloads.places.length / 2;
      if (clusters !== Math.ceil((skip + length) / payloads.clusterSize))
        throw new Error(`${clusters} payloads`);
      return meaningOf({ kind, payloads, skip, length }, byte);
    }
    default:
      return 'arrived';
  }
}
