import { describe, expect, test } from 'vitest';
import { MarginOfError, tQuantile } from '../../src/measure/margin.js';

const PIECE = 1000;

function marginOf(strata: readonly (readonly [pieces: number, value: number])[]): number {
  const margin = new MarginOfError(PIECE);
  for (const [pieces, value] of strata) margin.add(pieces, value);
  return margin.margin;
}

describe("Student's t", () => {
  test.each([
    [1, 12.706],
    [2, 4.303],
    [5, 2.571],
    [10, 2.228],
    [30, 2.042],
    [120, 1.98],
    [1e9, 1.96],
  ])('for %d degrees of freedom is %d, or a little more', (freedom, quantile) => {
    expect(tQuantile(freedom)).toBeGreaterThanOrEqual(quantile);
    expect(tQuantile(freedom)).toBeLessThan(quantile * 1.005);
  });

  test('never increases with the degrees of freedom', () => {
    for (let freedom = 0.5; freedom < 100; freedom += 0.1) {
      expect(tQuantile(freedom + 0.1)).toBeLessThanOrEqual(tQuantile(freedom));
    }
  });
});

describe('the margin', () => {
  test('is 0 if every piece was sampled', () => {
    expect(
      marginOf([
        [1, 10],
        [1, 900],
        [1, 0],
      ]),
    ).toBe(0);
    expect(marginOf([])).toBe(0);
  });

  test("is t times the standard error of the strata's sum", () => {
    // Neighbours that differ by d have the variance d²/2; of 400 strata of 20 pieces each.
    const strata = Array.from({ length: 400 }, (_, index) => [20, index % 2 === 0 ? 100 : 500] as const);
    const standardError = Math.sqrt(400 * 20 ** 2 * (400 ** 2 / 2));
    expect(marginOf(strata)).toBeCloseTo(tQuantile(2 * 400) * standardError, -2);
  });

  test('ignores strata that were sampled completely', () => {
    const varying = Array.from({ length: 300 }, (_, index) => [9, index % 2 === 0 ? 100 : 900] as const);
    const known = Array.from({ length: 200 }, (_, index) => [1, index % 2 === 0 ? 100 : 900] as const);
    expect(marginOf([...varying, ...known])).toBeCloseTo(marginOf(varying), -3);
  });

  test('covers the pieces that a uniform sample can miss', () => {
    // Of 6400 pieces 297.6 can be missed with 5 %, by a sample of 1 %: (1 - 1/100) to that power is 0.05.
    const uniform = (value: number) => marginOf(Array.from({ length: 64 }, () => [100, value] as const));
    expect(uniform(0)).toBeCloseTo(298.07 * PIECE, -2);
    expect(uniform(PIECE)).toBeCloseTo(298.07 * PIECE, -2);
    expect(uniform(300)).toBeCloseTo(298.07 * 700, -2);
  });

  test('is wider for a few strata that vary than for many', () => {
    const few = Array.from({ length: 400 }, (_, index) => [20, index === 200 ? 800 : 0] as const);
    // Two pairs with that difference, each twice half: the same variance as of one stratum with all of it.
    const standardError = Math.sqrt(2 * 20 ** 2 * (800 ** 2 / 2));
    expect(marginOf(few)).toBeGreaterThan(2.5 * standardError);
  });
});
