/** The tables after the header: large enough for any image of known size; at the end of the file only if necessary. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import { ClusterAllocator } from '../../src/qcow2/cluster-allocator.js';
import { geometry, MAX_REFCOUNT_TABLE_BYTES } from '../../src/qcow2/geometry.js';
import { type ImageBounds, refcountTableBound } from '../../src/qcow2/refcount-table-bound.js';
import { Refcounts } from '../../src/qcow2/refcounts.js';
import { type RootBounds, RootTables } from '../../src/qcow2/root-tables.js';
import { OverlapGuard } from '../../src/storage/overlap-guard.js';
import { RecordingStorage } from '../storage/recording-storage.js';

const KIB = 1024;
const TIB = 2 ** 40;

/** Bounds of an image full of normal clusters, after its header. */
function boundsOf(clusterBits: number, virtualSize: number): ImageBounds {
  const data = Math.ceil(virtualSize / 2 ** clusterBits);
  const l2 = Math.ceil(data / 2 ** (clusterBits - 3));
  return { before: 1, data, l2, l1: Math.ceil((l2 * 8) / 2 ** clusterBits), bitmaps: 0 };
}

describe('the largest refcount table of an image', () => {
  test.each([
    // One entry stands for 2 GiB of the file with the usual sizes: a cluster of them for 16 TiB.
    [16, 16, 0, 1],
    [16, 16, 15 * TIB, 1],
    [16, 16, 16 * TIB, 2],
    [21, 16, 1024 * TIB, 1],
    // 8 MiB, 128 KiB and 32 KiB.
    [12, 16, TIB, 274],
    [9, 16, 2 ** 30, 142],
    [9, 64, 2 ** 30, 579],
    [9, 1, 2 ** 30, 9],
  ])('with clusters of 2^%i bytes and refcounts of %i bits, for %i bytes, has %i clusters', (...args) => {
    const [clusterBits, refcountBits, virtualSize, clusters] = args;
    const unit = Math.max(4096, 2 ** clusterBits);
    const bounds = boundsOf(clusterBits, virtualSize);
    expect(refcountTableBound(geometry(clusterBits, refcountBits), unit, bounds)).toBe(clusters);
  });

  test('is never larger than QEMU opens', () => {
    const bound = refcountTableBound(geometry(9, 64), 4096, boundsOf(9, TIB));
    expect(bound).toBe(MAX_REFCOUNT_TABLE_BYTES / 512);
  });
});

/** Root tables after one unit, and the allocator for the clusters between. */
function make(clusterBits: number, refcountBits: number, bounds: Partial<RootBounds>) {
  const sizes = geometry(clusterBits, refcountBits);
  const { clusterSize } = sizes;
  const unit = Math.max(4096, clusterSize);
  const guard = new OverlapGuard(new RecordingStorage(), unit);
  const refcounts = new Refcounts(sizes);
  const allocator = new ClusterAllocator(sizes, unit, unit, refcounts, {
    setDataEnd() {},
    beginTableArea: (offset, clusters) => guard.reserve(offset, clusters * clusterSize),
  });
  allocator.count(hostOffset(0), clusterSize);
  const given = { virtualSize: undefined, external: false, bitmapClusters: 0, ...bounds };
  const roots = new RootTables(sizes, unit, guard, allocator, refcounts, given);
  return { roots, allocator, refcounts, clusterSize };
}

describe('the root tables', () => {
  test('lie after the header and the refcount block, and end an empty file', () => {
    const { roots, allocator } = make(16, 16, { virtualSize: TIB });
    const { l1, refcountTable } = roots.place(2048 * 8);
    expect(refcountTable).toEqual({ offset: 2 * 65_536, clusters: 1 });
    expect(l1).toEqual({ offset: 3 * 65_536, clusters: 1 });
    expect(allocator.end).toBe(3 * 65_536 + 2048 * 8);
  });

  test.each([
    [9, 1, 256 * KIB],
    [12, 16, 256 * KIB],
    [16, 16, 64 * KIB],
    [21, 64, 2048 * KIB],
  ])(
    'of a stream stay in front as long as there is room: clusters of 2^%i bytes, refcounts of %i bits',
    (clusterBits, refcountBits, room) => {
      for (const [l1Bytes, isInFront] of [
        [room, true],
        [room + 8, false],
      ] as const) {
        const { roots, allocator, refcounts } = make(clusterBits, refcountBits, {});
        const data = allocator.allocateRun(100);
        const { l1, refcountTable } = roots.place(l1Bytes);
        expect([l1.offset < data, refcountTable.offset < data]).toEqual([isInFront, true]);
        expect(refcountTable.clusters).toBeGreaterThanOrEqual(1);
        expect(refcounts.takeRest().length).toBe(refcounts.tableEntries);
      }
    },
  );

  test('of a stream that outgrows its refcount table include one at the end, which counts itself', () => {
    fc.assert(
      fc.property(
        fc.constantFrom([9, 64] as const, [9, 32] as const, [10, 64] as const),
        fc.integer({ min: 1, max: 200_000 }),
        ([clusterBits, refcountBits], more) => {
          // The reserved place covers 1 GiB and more of disk.
          const reach = (2 ** clusterBits * 8) / refcountBits;
          const room = make(clusterBits, refcountBits, {}).allocator.firstFree;
          const { roots, allocator, refcounts, clusterSize } = make(clusterBits, refcountBits, {});
          const data = allocator.allocateRun(room * 3 + more);
          const { refcountTable } = roots.place(8);
          const entries = refcounts.tableEntries;
          expect(refcountTable.clusters * clusterSize).toBeGreaterThanOrEqual(entries * 8);
          expect(entries).toBe(Math.ceil(allocator.firstFree / reach));
          if (refcountTable.offset > data) {
            expect(allocator.end).toBe(refcountTable.offset + refcountTable.clusters * clusterSize);
          }
        },
      ),
      { numRuns: 5 },
    );
  });
});
