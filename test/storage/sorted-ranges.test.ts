/** Sorted ranges compared with the simplest model: a set of numbers. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SortedRanges } from '../../src/storage/sorted-ranges.js';

const LIMIT = 64;
const range = fc
  .tuple(fc.nat(LIMIT), fc.nat(LIMIT))
  .map(([one, other]): [number, number] => (one < other ? [one, other] : [other, one]));
const numbers = (start: number, end: number) => Array.from({ length: end - start }, (_, at) => start + at);

/** Adds the ranges that fit, and returns the expected numbers. */
function fillBoth(ranges: readonly [number, number][]) {
  const sorted = new SortedRanges();
  const model = new Set<number>();
  for (const [start, end] of ranges) {
    if (numbers(start, end).some((number) => model.has(number))) {
      expect(() => sorted.add(start, end)).toThrow('overlap');
    } else {
      sorted.add(start, end);
      for (const number of numbers(start, end)) model.add(number);
    }
  }
  return { sorted, model };
}

/** A number that counts how often it is compared. */
function counted(value: number, count: { comparisons: number }): number {
  const number = {
    valueOf() {
      count.comparisons += 1;
      return value;
    },
  };
  return number as unknown as number;
}

describe('sorted ranges', () => {
  test('contain added ranges, refuse overlapping ones, and merge those that touch', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 30 }), range, (ranges, [start, end]) => {
        const { sorted, model } = fillBoth(ranges);
        const asked = numbers(start, end);
        expect(sorted.covers(start, end)).toBe(asked.every((number) => model.has(number)));
        if (start < end) {
          expect(sorted.intersects(start, end)).toBe(asked.some((number) => model.has(number)));
        }
        expect(sorted.end).toBe(Math.max(-1, ...model) + 1);
        const gaps = [...sorted.gaps(LIMIT)].flatMap(([from, to]) => numbers(from, to));
        expect(gaps).toEqual(numbers(0, LIMIT).filter((number) => !model.has(number)));
        const starts = [...model].filter((number) => !model.has(number - 1));
        expect(sorted.count).toBe(starts.length);
      }),
    );
  });

  test('empty ranges are in every set and add nothing', () => {
    const sorted = new SortedRanges();
    sorted.add(5, 5);
    expect(sorted.count).toBe(0);
    expect(sorted.covers(5, 5)).toBe(true);
  });

  test('are searched from the end: an append to thousands of ranges compares few numbers', () => {
    const sorted = new SortedRanges();
    for (let at = 0; at < 10_000; at += 1) sorted.add(3 * at, 3 * at + 1);
    const appended = { comparisons: 0 };
    sorted.add(counted(50_000, appended), counted(50_001, appended));
    expect(appended.comparisons).toBeLessThanOrEqual(4);
  });

  test('are searched by halving for other positions', () => {
    const sorted = new SortedRanges();
    for (let at = 0; at < 10_000; at += 1) sorted.add(3 * at, 3 * at + 1);
    const asked = { comparisons: 0 };
    expect(sorted.intersects(counted(15_001, asked), counted(15_003, asked))).toBe(false);
    expect(asked.comparisons).toBeLessThanOrEqual(20);
  });

  test('report where an overlap begins', () => {
    const sorted = new SortedRanges();
    sorted.add(10, 20);
    expect(() => sorted.add(5, 11)).toThrow('bytes 5 to 11 overlap a range that begins at 10');
    expect(() => sorted.add(19, 25)).toThrow('bytes 19 to 25 overlap a range that begins at 10');
    expect(sorted.count).toBe(1);
  });
});
