import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FEWEST_SAMPLES, Strata } from '../../src/measure/strata.js';

const ANY_STRATA = fc.record({
  pieces: fc.integer({ min: 1, max: 1500 }),
  percent: fc.double({ min: 0.001, max: 100, noNaN: true }),
  lastAlone: fc.boolean(),
  seed: fc.integer({ min: 0, max: 1000 }),
});

test('strata cover all pieces in order, their sizes differ by at most one, and each gives one of its pieces', () => {
  fc.assert(
    fc.property(ANY_STRATA, ({ pieces, percent, lastAlone, seed }) => {
      const strata = new Strata(pieces, percent, { lastAlone, seed });
      const inOrder = lastAlone ? strata.count - 1 : strata.count;
      const sizes = new Set<number>();
      let start = 0;
      for (let index = 0; index < strata.count; index += 1) {
        const size = strata.size(index);
        if (index < inOrder) sizes.add(size);
        expect(strata.chosen(index)).toBeGreaterThanOrEqual(start);
        expect(strata.chosen(index)).toBeLessThan(start + size);
        start += size;
      }
      expect(start).toBe(pieces);
      expect(Math.max(...sizes, 0) - Math.min(...sizes, pieces)).toBeLessThanOrEqual(1);
      if (lastAlone) expect(strata.chosen(strata.count - 1)).toBe(pieces - 1);
    }),
    { numRuns: 60 },
  );
});

test.each([
  [10_000, 1, 100],
  [10_000, 0.001, FEWEST_SAMPLES],
  [10_000, 100, 10_000],
  [10_000, 99.999, 10_000],
  [50, 1, 50],
  [0, 1, 0],
])('of %d pieces %d percent are %d', (pieces, percent, count) => {
  expect(new Strata(pieces, percent, { lastAlone: false }).count).toBe(count);
});

test('sampled positions in the strata are spread evenly for any seed', () => {
  for (const seed of [0, 1, 2, 12345]) {
    const strata = new Strata(160_000, 1, { lastAlone: false, seed });
    const places = new Array<number>(10).fill(0);
    for (let index = 0; index < strata.count; index += 1) {
      const place = (strata.chosen(index) - index * 100) / 10;
      places[Math.floor(place)]! += 1;
    }
    // 160 are expected of each; 50 more or fewer is four standard deviations.
    expect(Math.min(...places)).toBeGreaterThan(110);
    expect(Math.max(...places)).toBeLessThan(210);
  }
});
