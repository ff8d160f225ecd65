import { expect, test } from 'vitest';
import type { Finding } from '../../src/check/findings.js';
import { ReferenceCounters } from '../../src/check/reference-counters.js';

const CLUSTER = 512;

function counters(fileSize: number, refcountMax = 65535, windowClusters = 2 ** 24) {
  const findings: Finding[] = [];
  return {
    findings,
    counters: new ReferenceCounters(
      { size: fileSize, end: fileSize },
      CLUSTER,
      refcountMax,
      windowClusters,
      findings,
    ),
  };
}

test('a reference counts for every cluster that it touches', () => {
  const { counters: counted, findings } = counters(4 * CLUSTER);
  counted.add('data cluster', 0, CLUSTER);
  counted.add('data cluster', CLUSTER - 1, 2);
  counted.add('data cluster', CLUSTER, 0);
  counted.add('data cluster', 2 * CLUSTER, 2 * CLUSTER);
  expect([...counted.counts]).toEqual([2, 1, 1, 1, 0]);
  expect(findings).toEqual([]);
});

test('a range that ends less than a cluster past the file counts, is a cluster of the image, and is reported', () => {
  const { counters: counted, findings } = counters(4 * CLUSTER);
  expect(counted.clusters).toBe(4);
  counted.add('data cluster', 3 * CLUSTER + 1, CLUSTER);
  expect(counted.clusters).toBe(5);
  expect(counted.of(4)).toBe(1);
  counted.add('data cluster', 4 * CLUSTER, CLUSTER);
  expect(findings).toEqual([
    { kind: 'cut-short', part: 'data cluster', offset: 1537n, size: 512n, at: undefined, fileEnd: 2048 },
    { kind: 'past-end', part: 'data cluster', offset: 2048n, size: 512n, at: undefined },
  ]);
  expect(counted.of(4)).toBe(1);
});

test('offsets beyond safe integers are reported exactly', () => {
  const { counters: counted, findings } = counters(4 * CLUSTER);
  counted.add('data cluster', 2 ** 61, 512, 2n ** 61n - 1n, 7);
  expect(findings).toEqual([
    { kind: 'past-end', part: 'data cluster', offset: 2n ** 61n - 1n, size: 512n, at: 7 },
  ]);
});

test('a counter stops at the maximum of the image’s refcounts', () => {
  const { counters: counted, findings } = counters(4 * CLUSTER, 1);
  counted.add('data cluster', CLUSTER, CLUSTER);
  counted.add('data cluster', CLUSTER, CLUSTER);
  expect(counted.of(1)).toBe(1);
  expect(findings).toEqual([{ kind: 'overflow', offset: CLUSTER }]);
});

test('every window counts its own clusters, and findings outside all windows come once', () => {
  const { counters: counted, findings } = counters(10 * CLUSTER, 65535, 8);
  const count = () => {
    counted.add('data cluster', 7 * CLUSTER, 2 * CLUSTER);
    counted.add('data cluster', 100 * CLUSTER, CLUSTER);
  };
  count();
  expect([counted.first, counted.end, counted.of(7), counted.of(8)]).toEqual([0, 8, 1, undefined]);
  expect(counted.nextWindow()).toBe(true);
  count();
  expect([counted.first, counted.end, counted.of(7), counted.of(8)]).toEqual([8, 10, undefined, 1]);
  expect(counted.nextWindow()).toBe(false);
  expect(findings).toHaveLength(1);
});
