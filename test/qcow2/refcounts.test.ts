import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hostCluster, hostOffset } from '../../src/qcow2/addresses.js';
import { readU64 } from '../../src/qcow2/be64.js';
import { ClusterAllocator } from '../../src/qcow2/cluster-allocator.js';
import { geometry } from '../../src/qcow2/geometry.js';
import { getRefcount } from '../../src/qcow2/refcount-block.js';
import { Refcounts } from '../../src/qcow2/refcounts.js';

const WIDTHS = [1, 2, 4, 8, 16, 32, 64];
const internal = expect.objectContaining({ code: 'ERR_INTERNAL' });

/** Refcounts of an image whose clusters [from, to) are referenced once. */
function countedOnce(clusterBits: number, refcountBits: number, from: number, to: number): Refcounts {
  const refcounts = new Refcounts(geometry(clusterBits, refcountBits));
  for (let cluster = from; cluster < to; cluster += 1) refcounts.increment(hostCluster(cluster));
  return refcounts;
}

describe('counting', () => {
  test.each(WIDTHS)('stops at the maximum of %i bits, or goes on beyond any file', (bits) => {
    const { refcountMax } = geometry(9, bits);
    const refcounts = new Refcounts(geometry(9, bits));
    const most = Math.min(refcountMax, 70_000);
    for (let count = 1; count <= most; count += 1) refcounts.increment(hostCluster(5));
    expect([4, 5, 6].map((cluster) => refcounts.get(hostCluster(cluster)))).toEqual([0, most, 0]);
    if (most === refcountMax) expect(() => refcounts.increment(hostCluster(5))).toThrow(internal);
    expect(refcounts.get(hostCluster(5))).toBe(most);
  });

  test('a block is closed when the last of its clusters is settled, not before, and once', () => {
    const refcounts = countedOnce(9, 64, 0, 200);
    expect(refcounts.takeComplete(hostCluster(63))).toEqual([]);
    const closed = refcounts.takeComplete(hostCluster(191));
    expect(closed.map(({ index }) => index)).toEqual([0, 1]);
    for (const { bytes } of closed) {
      expect(Array.from({ length: 64 }, (_, entry) => getRefcount(bytes, entry, 64))).toEqual(
        new Array(64).fill(1),
      );
    }
    expect(refcounts.takeComplete(hostCluster(191))).toEqual([]);
    expect(() => refcounts.increment(hostCluster(127))).toThrow(internal);
    refcounts.increment(hostCluster(128));
    expect(refcounts.takeRest().map(({ index }) => index)).toEqual([2, 3]);
  });

  test('a stretch without references has no block, and its entry of the table stays 0', () => {
    const refcounts = new Refcounts(geometry(9, 64));
    for (const cluster of [0, 64 * 5]) refcounts.increment(hostCluster(cluster));
    const blocks = [...refcounts.takeComplete(hostCluster(64 * 5)), ...refcounts.takeRest()];
    expect(blocks.map(({ index }) => index)).toEqual([0, 5]);
    for (const block of blocks) refcounts.place(block, hostOffset(512 * (100 + block.index)));
    const table = refcounts.encodeTable(1);
    expect(table.length).toBe(512);
    const offsets = Array.from({ length: 64 }, (_, index) => Number(readU64(table, index * 8)));
    expect(offsets).toEqual(offsets.map((_, index) => ({ 0: 51_200, 5: 53_760 })[index] ?? 0));
  });
});

/**
 * How many blocks and table clusters are needed behind `first`, looked for one cluster at a time: the
 * smallest number of clusters that has room for the blocks and the table that this number asks for.
 */
function smallestRest(
  clusterBits: number,
  refcountBits: number,
  open: ReadonlySet<number>,
  first: number,
  further: number,
) {
  const { clusterSize, refcountBlockEntries } = geometry(clusterBits, refcountBits);
  for (let clusters = 0; ; clusters += 1) {
    const end = first + clusters + further;
    const touched = new Set(open);
    for (let cluster = first; cluster < end; cluster += 1) {
      touched.add(Math.floor(cluster / refcountBlockEntries));
    }
    const tableBytes = Math.ceil(end / refcountBlockEntries) * 8;
    const tableClusters = Math.max(1, Math.ceil(tableBytes / clusterSize));
    if (touched.size + tableClusters <= clusters) return { blocks: touched.size, tableClusters };
  }
}

describe('the last blocks and the table', () => {
  test.each([
    // Header, one block, one table, no L1.
    [16, 16, 1, 0, { blocks: 1, tableClusters: 1 }],
    // 62 clusters leave room for two more in block 0: the block itself and the table.
    [9, 64, 62, 0, { blocks: 1, tableClusters: 1 }],
    // One more: the second block counts the table, and is itself counted.
    [9, 64, 63, 0, { blocks: 2, tableClusters: 1 }],
    // The L1 table moves the end past the next block's reach.
    [9, 64, 62, 1, { blocks: 2, tableClusters: 1 }],
    // 64 blocks fill a table of one cluster; a 65th needs another.
    [9, 64, 64 * 64 - 65, 0, { blocks: 64, tableClusters: 1 }],
    [9, 64, 64 * 64 - 64, 0, { blocks: 65, tableClusters: 2 }],
  ])(
    'with clusters of 2^%i bytes, %i bits, %i clusters and %i further need %o',
    (clusterBits, refcountBits, used, further, expected) => {
      const refcounts = countedOnce(clusterBits, refcountBits, 0, used);
      expect(refcounts.sizeOfRest(hostCluster(used), further)).toEqual(expected);
    },
  );

  test('are a fixed point, and the smallest, for every width and many sizes', () => {
    const sizes = fc.record({
      clusterBits: fc.integer({ min: 9, max: 11 }),
      refcountBits: fc.constantFrom(...WIDTHS),
      used: fc.oneof(fc.integer({ min: 1, max: 700 }), fc.integer({ min: 4000, max: 4300 })),
      closedPart: fc.double({ min: 0, max: 1, noNaN: true }),
      // Space that the allocator rounded up: free clusters before `first`.
      gap: fc.integer({ min: 0, max: 7 }),
      further: fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 600 })),
    });
    fc.assert(
      fc.property(sizes, ({ clusterBits, refcountBits, used, closedPart, gap, further }) => {
        const { refcountBlockEntries, clusterSize } = geometry(clusterBits, refcountBits);
        const refcounts = countedOnce(clusterBits, refcountBits, 0, used);
        const closed = refcounts.takeComplete(hostCluster(Math.floor(used * closedPart)));
        const open = new Set<number>();
        for (let cluster = closed.length * refcountBlockEntries; cluster < used; cluster += 1) {
          open.add(Math.floor(cluster / refcountBlockEntries));
        }
        const first = used + gap;
        const { blocks, tableClusters } = refcounts.sizeOfRest(hostCluster(first), further);
        expect({ blocks, tableClusters }).toEqual(
          smallestRest(clusterBits, refcountBits, open, first, further),
        );
        // Now do what it was asked for: as many blocks are there, and the table reaches to the end.
        const end = first + blocks + tableClusters + further;
        for (let cluster = first; cluster < end; cluster += 1) refcounts.increment(hostCluster(cluster));
        const rest = refcounts.takeRest();
        expect(rest.length).toBe(blocks);
        const places = [...closed, ...rest].map(
          (block, at) => [block, hostOffset(clusterSize * (at + 1))] as const,
        );
        for (const [block, offset] of places) refcounts.place(block, offset);
        const table = refcounts.encodeTable(tableClusters);
        expect(table.length).toBe(tableClusters * clusterSize);
        for (const [block, offset] of places) expect(Number(readU64(table, block.index * 8))).toBe(offset);
        expect(Math.ceil(end / refcountBlockEntries) * 8).toBeLessThanOrEqual(table.length);
      }),
      { numRuns: 150 },
    );
  });

  test('a table larger than QEMU opens is refused', () => {
    const last = (2 ** 23 / 8) * 64;
    const refcounts = countedOnce(9, 64, 0, 1);
    refcounts.takeComplete(hostCluster(64));
    expect(refcounts.sizeOfRest(hostCluster(last - 20_000), 0).tableClusters).toBe(2 ** 23 / 512);
    expect(() => refcounts.sizeOfRest(hostCluster(last), 0)).toThrow(
      expect.objectContaining({ code: 'ERR_LIMIT', expected: 2 ** 23 }),
    );
  });
});

test('no block that was closed changes later, through long sequences with blocks of 64 entries', () => {
  const request = fc.oneof(
    { weight: 5, arbitrary: fc.record({ bytes: fc.integer({ min: 1, max: 511 }) }) },
    { weight: 1, arbitrary: fc.record({ clusters: fc.integer({ min: 1, max: 150 }) }) },
  );
  const sequences = fc.tuple(
    fc.constantFrom(512, 4096),
    fc.array(request, { minLength: 100, maxLength: 800, size: 'max' }),
  );
  fc.assert(
    fc.property(sequences, ([unit, requests]) => {
      const references = new Map<number, number>();
      class Watched extends Refcounts {
        override increment(cluster: ReturnType<typeof hostCluster>): void {
          super.increment(cluster);
          references.set(cluster, (references.get(cluster) ?? 0) + 1);
        }
      }
      const refcounts = new Watched(geometry(9, 64));
      const allocator = new ClusterAllocator(geometry(9, 64), unit, unit, refcounts, { setDataEnd() {} });
      const blocks = requests.flatMap((what) => {
        if ('bytes' in what) allocator.allocateBytes(what.bytes);
        else allocator.allocateRun(what.clusters);
        return refcounts.takeComplete(allocator.settledBelow);
      });
      const closed = blocks.length;
      blocks.push(...refcounts.takeRest());
      // Only what can still change is kept: the block of the stream's unit and those behind the free space.
      expect(closed).toBeGreaterThanOrEqual(Math.floor(allocator.settledBelow / 64));
      expect(blocks.map(({ index }) => index)).toEqual(blocks.map((_, index) => index));
      const stored = blocks.flatMap(({ bytes }) =>
        Array.from({ length: 64 }, (_, entry) => getRefcount(bytes, entry, 64)),
      );
      expect(stored).toEqual(stored.map((_, cluster) => references.get(cluster) ?? 0));
      expect(Math.max(...references.keys())).toBeLessThan(stored.length);
    }),
    { numRuns: 40 },
  );
});
