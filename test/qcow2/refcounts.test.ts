import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type HostCluster, type HostOffset, hostCluster, hostOffset } from '../../src/qcow2/addresses.js';
import { readU64 } from '../../src/qcow2/be64.js';
import { ClusterAllocator } from '../../src/qcow2/cluster-allocator.js';
import { geometry } from '../../src/qcow2/geometry.js';
import { getRefcount } from '../../src/qcow2/refcount-block.js';
import { type RefcountBlock, Refcounts } from '../../src/qcow2/refcounts.js';
import { longTest } from '../stage.js';

const WIDTHS = [1, 2, 4, 8, 16, 32, 64];
const internal = expect.objectContaining({ code: 'ERR_INTERNAL' });

/** Refcounts of an image whose clusters [0, to) are referenced once; block n lies at cluster 1000 + n. */
function countedOnce(clusterBits: number, refcountBits: number, to: number): Refcounts {
  const sizes = geometry(clusterBits, refcountBits);
  const refcounts = new Refcounts(sizes);
  for (let cluster = 0; cluster < to; cluster += 1) {
    if (cluster % sizes.refcountBlockEntries === 0) {
      const block = cluster / sizes.refcountBlockEntries;
      refcounts.place(hostCluster(cluster), hostOffset((1000 + block) * sizes.clusterSize));
    }
    refcounts.increment(hostCluster(cluster));
  }
  return refcounts;
}

/** The expected blocks of images of `countedOnce` with clusters of 512 bytes. */
const indexes = (blocks: readonly RefcountBlock[]) => blocks.map(({ offset }) => offset / 512 - 1000);

describe('counting', () => {
  test.each(WIDTHS)('stops at the maximum of %i bits, or has no limit below any file', (bits) => {
    const { refcountMax } = geometry(9, bits);
    const refcounts = new Refcounts(geometry(9, bits));
    refcounts.place(hostCluster(5), hostOffset(512));
    const most = Math.min(refcountMax, 70_000);
    for (let count = 1; count <= most; count += 1) refcounts.increment(hostCluster(5));
    expect([4, 5, 6].map((cluster) => refcounts.get(hostCluster(cluster)))).toEqual([0, most, 0]);
    if (most === refcountMax) expect(() => refcounts.increment(hostCluster(5))).toThrow(internal);
    expect(refcounts.get(hostCluster(5))).toBe(most);
  });

  test('needs the place of a block first, set once', () => {
    const refcounts = new Refcounts(geometry(9, 64));
    expect(() => refcounts.increment(hostCluster(0))).toThrow(internal);
    expect(refcounts.isPlaced(hostCluster(63))).toBe(false);
    refcounts.place(hostCluster(5), hostOffset(512));
    expect([0, 63, 64].map((cluster) => refcounts.isPlaced(hostCluster(cluster)))).toEqual([
      true,
      true,
      false,
    ]);
    expect(() => refcounts.place(hostCluster(63), hostOffset(1024))).toThrow(internal);
  });

  test('a block is closed when the last of its clusters is settled, not before, and once', () => {
    const refcounts = countedOnce(9, 64, 200);
    expect(refcounts.takeComplete(hostCluster(63))).toEqual([]);
    const closed = refcounts.takeComplete(hostCluster(191));
    expect(indexes(closed)).toEqual([0, 1]);
    for (const { bytes } of closed) {
      expect(Array.from({ length: 64 }, (_, entry) => getRefcount(bytes, entry, 64))).toEqual(
        new Array(64).fill(1),
      );
    }
    expect(refcounts.takeComplete(hostCluster(191))).toEqual([]);
    expect(() => refcounts.increment(hostCluster(127))).toThrow(internal);
    refcounts.increment(hostCluster(128));
    expect(indexes(refcounts.takeRest())).toEqual([2, 3]);
  });

  test('blocks of clusters that are counted last stay open, later ones do not', () => {
    const refcounts = countedOnce(9, 64, 64 * 6);
    refcounts.keepOpen(hostCluster(100), hostCluster(64 * 3));
    expect(indexes(refcounts.takeComplete(hostCluster(64 * 5)))).toEqual([0, 3, 4]);
    for (const cluster of [64, 100, 191]) refcounts.increment(hostCluster(cluster));
    expect(() => refcounts.increment(hostCluster(192))).toThrow(internal);
    expect(indexes(refcounts.takeRest())).toEqual([1, 2, 5]);
  });

  test('a range without references has no block, and its table entry stays 0', () => {
    const refcounts = new Refcounts(geometry(9, 64));
    refcounts.place(hostCluster(0), hostOffset(51_200));
    refcounts.place(hostCluster(64 * 5), hostOffset(53_760));
    expect(refcounts.tableEntries).toBe(6);
    const table = refcounts.encodeTable(1);
    expect(table.length).toBe(512);
    const offsets = Array.from({ length: 64 }, (_, index) => Number(readU64(table, index * 8)));
    expect(offsets).toEqual(offsets.map((_, index) => ({ 0: 51_200, 5: 53_760 })[index] ?? 0));
    expect(refcounts.takeRest().length).toBe(2);
  });

  test('a block past the largest table that QEMU opens is refused', () => {
    const refcounts = new Refcounts(geometry(9, 64));
    const first = (2 ** 23 / 8) * 64;
    refcounts.place(hostCluster(first - 1), hostOffset(512));
    expect(() => refcounts.place(hostCluster(first), hostOffset(1024))).toThrow(
      expect.objectContaining({ code: 'ERR_LIMIT', expected: 2 ** 23, found: 2 ** 23 + 8 }),
    );
  });
});

longTest('a closed block never changes, in long sequences with blocks of 64 entries', () => {
  const request = fc.oneof(
    { weight: 5, arbitrary: fc.record({ bytes: fc.integer({ min: 1, max: 511 }) }) },
    { weight: 1, arbitrary: fc.record({ clusters: fc.integer({ min: 1, max: 150 }) }) },
    { weight: 1, arbitrary: fc.record({ further: fc.constantFrom(0, 1000) }) },
  );
  const sequences = fc.tuple(
    fc.constantFrom(512, 4096),
    fc.array(request, { minLength: 100, maxLength: 800, size: 'max' }),
  );
  fc.assert(
    fc.property(sequences, ([unit, requests]) => {
      const references = new Map<number, number>();
      const indexAt = new Map<number, number>();
      class Watched extends Refcounts {
        override increment(cluster: HostCluster): void {
          super.increment(cluster);
          references.set(cluster, (references.get(cluster) ?? 0) + 1);
        }

        override place(cluster: HostCluster, offset: HostOffset): void {
          super.place(cluster, offset);
          indexAt.set(offset, Math.floor(cluster / 64));
        }
      }
      const refcounts = new Watched(geometry(9, 64));
      const allocator = new ClusterAllocator(geometry(9, 64), unit, unit, refcounts, {
        setDataEnd() {},
        beginTableArea() {},
      });
      const blocks = requests.flatMap((what) => {
        if ('bytes' in what) allocator.allocateBytes(what.bytes);
        else if ('further' in what) allocator.allocateTable(what.further);
        else allocator.allocateRun(what.clusters);
        return refcounts.takeComplete(allocator.settledBelow);
      });
      const closed = blocks.length;
      blocks.push(...refcounts.takeRest());
      // Only blocks that can still change are kept: the stream's unit, free places, the free space.
      expect(closed).toBeGreaterThanOrEqual(Math.floor(allocator.settledBelow / 64));
      const found = blocks.map(({ offset, bytes }) => [indexAt.get(offset) ?? -1, bytes] as const);
      found.sort(([a], [b]) => a - b);
      expect(found.map(([index]) => index)).toEqual(found.map((_, index) => index));
      const stored = found.flatMap(([, bytes]) =>
        Array.from({ length: 64 }, (_, entry) => getRefcount(bytes, entry, 64)),
      );
      expect(stored).toEqual(stored.map((_, cluster) => references.get(cluster) ?? 0));
      expect(Math.max(...references.keys())).toBeLessThan(stored.length);
    }),
    { numRuns: 40 },
  );
});
