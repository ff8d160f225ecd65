import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mergeRanges } from '../../src/map/merge-ranges.js';
import type { MapRange } from '../../src/map/options.js';

/** A run of bytes of which the same is to be said, without its place on the disk. */
const kinds = fc.record({
  length: fc.integer({ min: 1, max: 6 }),
  depth: fc.integer({ min: 0, max: 1 }),
  present: fc.boolean(),
  zero: fc.boolean(),
  data: fc.boolean(),
  compressed: fc.boolean(),
  place: fc.option(fc.record({ offset: fc.integer({ min: 0, max: 12 }), file: fc.constantFrom('a', 'b') }), {
    nil: undefined,
  }),
});
/** Few different ones one after the other, so that neighbours are often alike. */
const disks = fc
  .array(kinds, { minLength: 1, maxLength: 3 })
  .chain((some) => fc.array(fc.constantFrom(...some), { minLength: 1, maxLength: 12 }))
  .map((parts): MapRange[] => {
    let start = 0;
    let end: number | undefined;
    return parts.map(({ place, length, ...rest }) => {
      // A place often goes on where the one before ended.
      const offset = place && (place.offset % 2 === 0 ? (end ?? place.offset) : place.offset);
      const range = { ...rest, start, length, offset, file: place?.file };
      start += length;
      end = offset === undefined ? undefined : offset + length;
      return range;
    });
  });

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

async function all(ranges: AsyncIterable<MapRange>): Promise<MapRange[]> {
  const found: MapRange[] = [];
  for await (const range of ranges) found.push(range);
  return found;
}

/** What is said of every single byte. */
function bytesOf(ranges: readonly MapRange[]): object[] {
  return ranges.flatMap(({ start, length, offset, ...rest }) =>
    Array.from({ length }, (_, into) => ({
      ...rest,
      at: start + into,
      offset: offset === undefined ? undefined : offset + into,
    })),
  );
}

test('says of every byte what was said before, in as few ranges as can be', async () => {
  await fc.assert(
    fc.asyncProperty(disks, async (ranges) => {
      const merged = await all(mergeRanges(each(ranges)));
      const bytes = bytesOf(ranges);
      expect(bytesOf(merged)).toEqual(bytes);
      // A new range begins exactly where a byte does not continue the one before.
      const isNew = (byte: Record<string, unknown>, before: Record<string, unknown> | undefined) =>
        before === undefined ||
        ['depth', 'present', 'zero', 'data', 'compressed', 'file'].some((key) => byte[key] !== before[key]) ||
        byte['offset'] !== (before['offset'] === undefined ? undefined : (before['offset'] as number) + 1);
      const single = bytes as Record<string, unknown>[];
      const begins = single.filter((byte, index) => isNew(byte, single[index - 1])).map((byte) => byte['at']);
      expect(merged.map(({ start }) => start)).toEqual(begins);
    }),
    { numRuns: 500 },
  );
});

test('does not depend on how the ranges were cut', async () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(disks, cuts, async (ranges, lengths) => {
      let turn = 0;
      const pieces = ranges.flatMap(({ start, length, offset, ...rest }) => {
        const cut: MapRange[] = [];
        for (let at = 0; at < length; turn += 1) {
          const part = Math.min(lengths[turn % lengths.length]!, length - at);
          const from = offset === undefined ? undefined : offset + at;
          cut.push({ ...rest, start: start + at, length: part, offset: from });
          at += part;
        }
        return cut;
      });
      expect(await all(mergeRanges(each(pieces)))).toEqual(await all(mergeRanges(each(ranges))));
    }),
  );
});

test('hands out a range as soon as the next one is different', async () => {
  const asked: number[] = [];
  async function* endless(): AsyncGenerator<MapRange> {
    for (let start = 0; ; start += 1) {
      asked.push(start);
      const zero = start >= 2;
      const rest = {
        depth: 0,
        present: true,
        data: !zero,
        compressed: false,
        offset: undefined,
        file: undefined,
      };
      yield { start, length: 1, zero, ...rest };
    }
  }
  const first = await mergeRanges(endless()).next();
  expect(first.value).toMatchObject({ start: 0, length: 2, data: true });
  expect(asked).toEqual([0, 1, 2]);
});
