import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { MappedRange } from '../../src/image/source.js';
import { segmentsOf } from '../../src/workers/segments.js';
import { FakeLayer, meaningsOf, stretchesOf } from '../image/fake-layer.js';
import { putSegments } from './planned-bytes.js';

test('the segments of a guest range cover exactly its bytes, with zeros past the end of the disk', async () => {
  await fc.assert(
    fc.asyncProperty(
      stretchesOf(['zero', 'data', 'compressed']),
      fc.nat(300),
      fc.nat(300),
      async (list, from, length) => {
        const source = new FakeLayer<MappedRange>('fake', list);
        const segments = await segmentsOf(source, from, length);
        const found = Array.from({ length: from + length }, () => 'zero');
        putSegments(segments, { guestOffset: from, length }, found);
        const meanings = await meaningsOf(source);
        expect(found.slice(from)).toEqual(
          Array.from({ length }, (_, byte) => meanings[from + byte] ?? 'zero'),
        );
      },
    ),
    { numRuns: 200 },
  );
});

test('an unreadable part of the map is an error if it is needed', async () => {
  const source = new FakeLayer<MappedRange>('fake', [
    { kind: 'data', length: 10 },
    { kind: 'unreadable', length: 10 },
  ]);
  expect((await segmentsOf(source, 0, 10)).length).toBe(1);
  await expect(segmentsOf(source, 5, 10)).rejects.toMatchObject({ code: 'ERR_CORRUPT', offset: 10 });
});
