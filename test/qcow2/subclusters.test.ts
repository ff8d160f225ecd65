import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isContradictory, SUBCLUSTERS, subclusterRun } from '../../src/qcow2/subclusters.js';

const ALL = 2 ** 32 - 1;
const isSet = (word: number, bit: number) => Math.floor(word / 2 ** bit) % 2 === 1;
/** Random words, and words of long runs. */
const words = fc.oneof(
  fc.nat(ALL),
  fc.constantFrom(0, 1, ALL, 2 ** 31, 0xffff0000),
  fc
    .tuple(fc.nat(32), fc.nat(32))
    .map(([a, b]) => Math.abs(2 ** a - 2 ** b))
    .filter((word) => word <= ALL),
);

test('a run is exactly the subclusters of one kind from a subcluster on', () => {
  fc.assert(
    fc.property(words, words, fc.nat(31), (some, others, from) => {
      const zero = Number(BigInt(others) & ~BigInt(some));
      const kinds = Array.from({ length: SUBCLUSTERS }, (_, bit) =>
        isSet(zero, bit) ? 'zero' : isSet(some, bit) ? 'normal' : 'unallocated',
      );
      const end = kinds.findIndex((kind, bit) => bit > from && kind !== kinds[from]);
      expect(subclusterRun(some, zero, from)).toEqual({
        kind: kinds[from],
        count: (end < 0 ? SUBCLUSTERS : end) - from,
      });
    }),
    { numRuns: 2000 },
  );
});

test('both bits of one subcluster, or data without a host cluster, contradict each other', () => {
  fc.assert(
    fc.property(words, words, (data, zero) => {
      const both = Array.from({ length: SUBCLUSTERS }, (_, bit) => isSet(data, bit) && isSet(zero, bit));
      expect(isContradictory(data, zero, true)).toBe(both.includes(true));
      expect(isContradictory(data, zero, false)).toBe(data !== 0);
    }),
  );
  expect(isContradictory(2 ** 31, 2 ** 31, true)).toBe(true);
});
