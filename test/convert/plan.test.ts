import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ITEM_BYTES, type PlannedItem, plan } from '../../src/convert/plan.js';
import { FakeSource, type Stretch } from '../image/fake-source.js';

const TIB = 2 ** 40;
const MIB = 2 ** 20;

async function itemsOf(source: FakeSource, itemSize: number, keepZeros: boolean): Promise<PlannedItem[]> {
  const items: PlannedItem[] = [];
  for await (const item of plan(source, itemSize, keepZeros)) items.push(item);
  return items;
}

const stretches: fc.Arbitrary<Stretch[]> = fc.array(
  fc.record({
    kind: fc.constantFrom('zero' as const, 'data' as const),
    length: fc.oneof(
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom(16, 32, 48),
      fc.integer({ min: 1, max: 200 }),
    ),
  }),
  { maxLength: 12 },
);

describe('the plan', () => {
  test('lies on the grid and covers the data, byte for byte and no byte more, for any map', async () => {
    await fc.assert(
      fc.asyncProperty(
        stretches,
        fc.constantFrom(1, 16, 64),
        fc.boolean(),
        async (list, itemSize, keepZeros) => {
          const source = new FakeSource('fake', list);
          const items = await itemsOf(source, itemSize, keepZeros);
          const covered: number[] = [];
          let last = -1;
          for (const { guestOffset, length, segments } of items) {
            expect(guestOffset % itemSize).toBe(0);
            expect(guestOffset).toBeGreaterThan(last);
            last = guestOffset;
            expect(length).toBe(Math.min(itemSize, source.size - guestOffset));
            let end = 0;
            for (const segment of segments) {
              expect(segment.at).toBeGreaterThanOrEqual(end);
              expect(segment.length).toBeGreaterThan(0);
              end = segment.at + segment.length;
              expect(end).toBeLessThanOrEqual(length);
              expect([segment.descriptor, segment.offset]).toEqual([77, guestOffset + segment.at + 1000]);
              for (let byte = segment.at; byte < end; byte += 1) covered.push(guestOffset + byte);
            }
            if (!keepZeros) expect(segments.length).toBeGreaterThan(0);
          }
          let start = 0;
          const data = list.flatMap(({ kind, length }) => {
            const bytes = kind === 'data' ? Array.from({ length }, (_, index) => start + index) : [];
            start += length;
            return bytes;
          });
          expect(covered).toEqual(data);
          if (keepZeros) expect(items.length).toBe(Math.ceil(source.size / itemSize));
        },
      ),
      { numRuns: 200 },
    );
  });

  test('asks once for each hole that begins with an item, however large it is', async () => {
    const source = new FakeSource('fake', [
      { kind: 'zero', length: 3 * TIB },
      { kind: 'data', length: MIB },
      { kind: 'zero', length: 5 * TIB },
      { kind: 'data', length: 512 },
      { kind: 'zero', length: 2 * TIB },
    ]);
    const items = await itemsOf(source, MIB, false);
    expect(items.map(({ guestOffset, length }) => [guestOffset, length])).toEqual([
      [3 * TIB, MIB],
      [8 * TIB + MIB, MIB],
    ]);
    // The last hole is met inside of an item, and once more behind it.
    expect(source.asked).toEqual([
      0,
      3 * TIB,
      3 * TIB + MIB,
      8 * TIB + MIB,
      8 * TIB + MIB + 512,
      8 * TIB + 2 * MIB,
    ]);
  });

  test('goes on in the middle of an item behind a hole, and cuts the last item to the disk', async () => {
    const source = new FakeSource('fake', [
      { kind: 'zero', length: MIB + 512 },
      { kind: 'data', length: 1024 },
      { kind: 'zero', length: 4096 },
      { kind: 'data', length: MIB },
    ]);
    expect(await itemsOf(source, MIB, false)).toEqual([
      {
        guestOffset: MIB,
        length: MIB,
        segments: [
          { at: 512, length: 1024, descriptor: 77, offset: MIB + 512 + 1000 },
          { at: 5632, length: MIB - 5632, descriptor: 77, offset: MIB + 5632 + 1000 },
        ],
      },
      {
        guestOffset: 2 * MIB,
        length: 5632,
        segments: [{ at: 0, length: 5632, descriptor: 77, offset: 2 * MIB + 1000 }],
      },
    ]);
  });

  test('has no item for an empty disk', async () => {
    for (const keepZeros of [false, true]) {
      expect(await itemsOf(new FakeSource('fake', []), MIB, keepZeros)).toEqual([]);
    }
  });

  test('looks no further than the item that is asked for', async () => {
    const source = new FakeSource('fake', [{ kind: 'data', length: 10 * MIB }]);
    const items = plan(source, MIB, false);
    await items.next();
    expect(source.asked).toEqual([0]);
  });

  test('ends with the error of the map', async () => {
    const source = new FakeSource('fake', [{ kind: 'data', length: 3 * MIB }]);
    const { map } = source;
    source.map = (offset) => (offset < MIB ? map.call(source, offset) : Promise.reject(new Error('EIO')));
    const items = plan(source, MIB, false);
    expect((await items.next()).value).toMatchObject({ guestOffset: 0 });
    await expect(items.next()).rejects.toThrow('EIO');
  });
});

test('a work item holds whole clusters of any size', () => {
  for (let clusterBits = 9; clusterBits <= 21; clusterBits += 1)
    expect(ITEM_BYTES % 2 ** clusterBits).toBe(0);
});
