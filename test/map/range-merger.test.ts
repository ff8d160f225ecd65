import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { MapRange } from '../../src/map/options.js';
import { RangeMerger } from '../../src/map/range-merger.js';
import { tries } from '../stage.js';

/** A run of bytes with one status, without its offset on the disk. */
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
/** A sequence of few different runs, so that neighbours are often equal. */
const disks = fc
  .array(kinds, { minLength: 1, maxLength: 3 })
  .chain((some) => fc.array(fc.constantFrom(...some), { minLength: 1, maxLength: 12 }))
  .map((parts): MapRange[] => {
    let start = 0;
    let end: number | undefined;
    return parts.map(({ place, length, ...rest }) => {
      // An offset often continues the previous run.
      const offset = place && (place.offset % 2 === 0 ? (end ?? place.offset) : place.offset);
      const range = { ...rest, start, length, offset, file: place?.file };
      start += length;
      end = offset === undefined ? undefined : offset + length;
      return range;
    });
  });

function merged(ranges: readonly MapRange[]): MapRange[] {
  const merger = new RangeMerger();
  return [...ranges.map((range) => merger.add(range)), merger.end()].filter((range) => range !== undefined);
}

/** The status of every byte. */
function bytesOf(ranges: readonly MapRange[]): object[] {
  return ranges.flatMap(({ start, length, offset, ...rest }) =>
    Array.from({ length }, (_, into) => ({
      ...rest,
      at: start + into,
      offset: offset === undefined ? undefined : offset + into,
    })),
  );
}

test('keeps the status of every byte, in as few ranges as possible', () => {
  fc.assert(
    fc.property(disks, (ranges) => {
      const found = merged(ranges);
      const bytes = bytesOf(ranges);
      expect(bytesOf(found)).toEqual(bytes);
      // A new range begins exactly where a byte does not continue the one before.
      const isNew = (byte: Record<string, unknown>, before: Record<string, unknown> | undefined) =>
        before === undefined ||
        ['depth', 'present', 'zero', 'data', 'compressed', 'file'].some((key) => byte[key] !== before[key]) ||
        byte['offset'] !== (before['offset'] === undefined ? undefined : (before['offset'] as number) + 1);
      const single = bytes as Record<string, unknown>[];
      const begins = single.filter((byte, index) => isNew(byte, single[index - 1])).map((byte) => byte['at']);
      expect(found.map(({ start }) => start)).toEqual(begins);
    }),
    { numRuns: tries(500) },
  );
});

test('does not depend on how the input ranges were cut', () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(disks, cuts, (ranges, lengths) => {
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
      expect(merged(pieces)).toEqual(merged(ranges));
    }),
  );
});

test('returns a range as soon as the next one differs, and the last one at the end', () => {
  const rest = { length: 1, depth: 0, present: true, compressed: false, offset: undefined, file: undefined };
  const [data, more, zeros] = [
    { ...rest, start: 0, data: true, zero: false },
    { ...rest, start: 1, data: true, zero: false },
    { ...rest, start: 2, data: false, zero: true },
  ];
  const merger = new RangeMerger();
  expect([data, more, zeros].map((range) => merger.add(range))).toEqual([
    undefined,
    undefined,
    { ...data, length: 2 },
  ]);
  expect(merger.end()).toEqual(zeros);
  expect(new RangeMerger().end()).toBeUndefined();
});
