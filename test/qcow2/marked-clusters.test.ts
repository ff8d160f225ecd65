/** Counts of touched host clusters, compared with a set. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MarkedClusters } from '../../src/qcow2/marked-clusters.js';
import { tries } from '../stage.js';

const CLUSTER = 512;

interface Range {
  readonly offset: number;
  readonly length: number;
}

/** @returns how many times the ranges had to be added */
function addAll(marked: MarkedClusters, ranges: readonly Range[]): number {
  let passes = 0;
  do {
    passes += 1;
    for (const { offset, length } of ranges) marked.add(offset, length);
  } while (marked.advance());
  return passes;
}

test('each host cluster counts once, for any order, window and number of passes', () => {
  const range = fc.record({
    offset: fc.integer({ min: 0, max: 60_000 }),
    length: fc.integer({ min: 1, max: 2000 }),
  });
  fc.assert(
    fc.property(
      fc.array(range),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 0, max: 60_000 }),
      (ranges, windowBytes, fileSize) => {
        const touched = new Set<number>();
        for (const { offset, length } of ranges) {
          const end = Math.min(offset + length, fileSize);
          for (let at = offset; at < end; at += 1) touched.add(Math.floor(at / CLUSTER));
        }
        const marked = new MarkedClusters(fileSize, CLUSTER, windowBytes);
        const passes = addAll(marked, ranges);
        expect(marked.count).toBe(touched.size);
        expect(marked.bytes).toBe(
          [...touched].reduce((sum, index) => sum + Math.min(CLUSTER, fileSize - index * CLUSTER), 0),
        );
        expect(passes).toBeLessThanOrEqual(1 + Math.ceil(fileSize / CLUSTER / (windowBytes * 8)));
      },
    ),
    { numRuns: tries(500) },
  );
});

test('a file that fits into the window takes one pass', () => {
  const marked = new MarkedClusters(2 ** 40, 65536, 2 ** 25);
  expect(addAll(marked, [{ offset: 2 ** 40 - 1, length: 1 }])).toBe(1);
  expect(marked).toMatchObject({ count: 1, bytes: 65536 });
});

test('a part of the file without marks takes no pass', () => {
  const marked = new MarkedClusters(2 ** 50, CLUSTER, 1);
  const ranges = [0, 2 ** 30, 2 ** 49].map((offset) => ({ offset, length: 1 }));
  expect(addAll(marked, ranges)).toBe(3);
  expect(marked.count).toBe(3);
});
