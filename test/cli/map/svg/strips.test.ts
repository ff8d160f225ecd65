import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CELL_HEIGHT,
  CELL_WIDTH,
  heights,
  ROW_HEIGHT,
  type Share,
  strips,
} from '../../../../src/cli/map/svg/strips.js';
import { COLUMNS } from '../../../../src/map/cells.js';

const amounts = fc.oneof(
  fc.constant(0),
  fc.double({ min: 1e-9, max: 1, noNaN: true }),
  fc.integer({ min: 0, max: 2 ** 40 }),
);
const shares = fc
  .array(fc.record({ amount: amounts, empty: fc.boolean() }), { minLength: 1, maxLength: 4 })
  .filter((all) => all.some(({ amount }) => amount > 0));

describe('heights', () => {
  test('fill the cell, and show every kind in it', () => {
    fc.assert(
      fc.property(shares, (all) => {
        const found = heights(all);
        expect(found.reduce((sum, height) => sum + height, 0)).toBe(CELL_HEIGHT);
        for (const [index, { amount, empty }] of all.entries()) {
          const height = found[index]!;
          expect(height).toBeGreaterThanOrEqual(0);
          expect(height % 0.5).toBe(0);
          if (amount === 0) expect(height).toBe(0);
          if (amount > 0 && !empty) expect(height).toBeGreaterThanOrEqual(2);
        }
      }),
    );
  });

  test('show every kind even if a cell has all kinds', () => {
    const all = Array.from({ length: 12 }, (_, index) => ({ amount: 10 ** index, empty: index === 11 }));
    expect(
      heights(all)
        .slice(0, 11)
        .every((height) => height > 0),
    ).toBe(true);
  });

  test('are the shares if these are visible', () => {
    const some = [50, 25, 25].map((amount) => ({ amount, empty: false }));
    expect(heights(some)).toEqual([6, 3, 3]);
  });
});

/** The colours at points of the middle of each cell, from below. */
function painted(svg: string, cells: number): string[][] {
  const found = Array.from({ length: cells }, (): [bottom: number, colour: string][] => []);
  for (const [, fill, path] of svg.matchAll(/<path fill="([^"]+)" d="([^"]+)"\/>/g)) {
    for (const [, x, y, width] of path!.matchAll(/M([\d.]+) ([\d.]+)h([\d.]+)v[\d.]+h-[\d.]+z/g)) {
      const row = Math.floor((Number(y) - 100) / ROW_HEIGHT);
      for (let at = Number(x); at < Number(x) + Number(width); at += CELL_WIDTH) {
        found[row * COLUMNS + (at - 50) / CELL_WIDTH]!.push([-Number(y), fill!]);
      }
    }
  }
  return found.map((cell) => cell.sort(([a], [b]) => a - b).map(([, colour]) => colour));
}

test('strips paint each cell with its kinds, and merge neighbours', () => {
  const colours = fc.constantFrom('red', 'blue', 'none');
  fc.assert(
    fc.property(fc.array(fc.tuple(colours, colours), { minLength: 1, maxLength: 300 }), (cells) => {
      const sharesOf = (cell: number): Share[] =>
        cells[cell]!.map((colour, place) => ({ colour: `${colour}${place}`, amount: 1, empty: false }));
      const svg = strips(cells.length, sharesOf, 50, 100);
      expect(painted(svg, cells.length)).toEqual(cells.map(([below, above]) => [`${below}0`, `${above}1`]));
    }),
  );
  const alike = strips(COLUMNS * 2, () => [{ colour: 'red', amount: 1, empty: false }], 0, 0);
  expect(alike.match(/M/g)).toHaveLength(2);
});
