import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { MappedRange } from '../../src/image/source.js';
import { segmentsOf } from '../../src/workers/segments.js';
import { type SplitSegment, splitSegments } from '../../src/workers/tasks/split-segments.js';
import { FakeLayer, meaningsOf, stretchesOf } from '../image/fake-layer.js';

test('split segments are the same bytes in the same order, and none goes past the end of its cluster', async () => {
  await fc.assert(
    fc.asyncProperty(stretchesOf(['zero', 'data', 'compressed']), fc.nat(100), async (list, from) => {
      const source = new FakeLayer<MappedRange>('fake', list);
      const length = Math.max(0, source.size - from);
      const found = new Array<string>(length).fill('zero');
      let end = 0;
      for (const segment of splitSegments(await segmentsOf(source, from, length))) {
        expect(segment.at).toBeGreaterThanOrEqual(end);
        end = segment.at + segment.length;
        if (segment.kind === 'compressed') {
          expect(segment.skip + segment.length).toBeLessThanOrEqual(segment.inflatedLength);
        }
        for (let byte = 0; byte < segment.length; byte += 1)
          found[segment.at + byte] = meaning(segment, byte);
      }
      expect(found).toEqual((await meaningsOf(source)).slice(from));
    }),
    { numRuns: 200 },
  );
});

/** In the words of `meaningOf`. */
function meaning(segment: SplitSegment, byte: number): string {
  if (segment.kind === 'arrived') throw new Error('nothing arrives');
  const { kind, descriptor, offset } = segment;
  if (kind === 'data') return `data ${descriptor}:${offset + byte}`;
  const { storedLength, skip, inflatedLength } = segment;
  return `compressed ${descriptor}:${offset}+${storedLength}, byte ${skip + byte} of ${inflatedLength}`;
}
