import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { guestCluster } from '../../src/qcow2/addresses.js';
import { readU64 } from '../../src/qcow2/be64.js';
import { ClusterAllocator } from '../../src/qcow2/cluster-allocator.js';
import { ClusterRun } from '../../src/qcow2/cluster-run.js';
import { geometry } from '../../src/qcow2/geometry.js';
import { L2Tables } from '../../src/qcow2/l2-tables.js';
import { RecountedRefcounts } from '../../src/qcow2/refcounts.js';
import { TableAreas } from '../../src/qcow2/table-areas.js';
import { TableStream } from '../../src/qcow2/table-stream.js';
import { OverlapGuard } from '../../src/storage/overlap-guard.js';
import { payload, useRecordingStorage } from '../storage/recording-storage.js';

const makeStorage = useRecordingStorage();
const COPIED = 1n << 63n;

function make(sizes = geometry(9, 16)) {
  const storage = makeStorage();
  const unit = Math.max(4096, sizes.clusterSize);
  const guard = new OverlapGuard(storage, unit);
  const areas = new TableAreas(sizes.clusterSize, guard, new TableStream(guard));
  const allocator = new ClusterAllocator(sizes, unit, unit, new RecountedRefcounts(sizes), {
    setDataEnd() {},
    beginTableArea: (offset, clusters) => areas.begin(offset, clusters),
  });
  const run = new ClusterRun(guard, allocator, sizes.clusterSize, unit);
  const finish = async () => {
    await run.finish();
    await areas.finish();
  };
  return {
    storage,
    run,
    areas,
    allocator,
    finish,
    l2: new L2Tables(sizes, undefined, allocator, run, areas),
  };
}

/** As the image writer does: a table is completed when a cluster passes it. */
async function entryOf(l2: L2Tables, cluster: number) {
  if (l2.passes(guestCluster(cluster))) await l2.complete();
  return l2.entriesOf(guestCluster(cluster));
}

const entriesOf = (table: Uint8Array) =>
  Array.from({ length: table.length / 8 }, (_, index) => readU64(table, index * 8));

describe('the L2 tables', () => {
  test('are found through the L1 table, with the entries that were set, for any ascending clusters', async () => {
    const lists = fc.uniqueArray(fc.integer({ min: 0, max: 64 * 20 - 1 }), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(lists, async (list) => {
        const { storage, run, finish, l2 } = make();
        const clusters = list.sort((a, b) => a - b);
        for (const cluster of clusters) {
          const set = await entryOf(l2, cluster);
          // Every third is a normal cluster, which has no place until the run is placed.
          if (cluster % 3 === 0) await run.addCluster(payload(512), (offset) => set(BigInt(offset)));
          else set(BigInt(cluster) + COPIED / 2n);
        }
        await l2.complete();
        await finish();
        const l1 = entriesOf(l2.takeL1(20));
        expect(l1.length).toBe(20);
        // A longer disk has empty entries at the end.
        expect(entriesOf(l2.takeL1(1000))).toEqual([...l1, ...new Array(980).fill(0n)]);
        const found = l1.flatMap((entry, index) => {
          if (entry === 0n) return [];
          expect(entry & COPIED).toBe(COPIED);
          const table = entriesOf(storage.bytes(Number(entry & ~COPIED), 512));
          return table.flatMap((raw, at) => (raw === 0n ? [] : [[index * 64 + at, raw] as const]));
        });
        expect(found.map(([cluster]) => cluster)).toEqual(clusters);
        for (const [cluster, raw] of found) {
          if (cluster % 3 === 0) {
            expect(Buffer.from(storage.bytes(Number(raw), 512))).toEqual(Buffer.from(payload(512)));
            // The table lies before it.
            expect(raw).toBeGreaterThan((l1[Math.floor(cluster / 64)] ?? 0n) & ~COPIED);
          } else expect(raw).toBe(BigInt(cluster) + COPIED / 2n);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('leave memory exactly when a cluster after their range comes, or at the end', async () => {
    const { areas, l2 } = make();
    const placed: string[] = [];
    areas.complete = (_, bytes) => void placed.push(`table of ${Number(readU64(bytes, 0))}`);
    for (const cluster of [0, 63, 64, 192, 255]) {
      placed.push(`cluster ${cluster}`);
      (await entryOf(l2, cluster))(BigInt(cluster));
    }
    await l2.complete();
    await l2.complete();
    expect(placed).toEqual([
      'cluster 0',
      'cluster 63',
      'cluster 64',
      'table of 0',
      'cluster 192',
      'table of 64',
      'cluster 255',
      'table of 192',
    ]);
  });

  test.each([[[5, 5]], [[5, 4]], [[64, 63]]])(
    'refuse guest clusters %j, which do not ascend',
    async ([first, second]) => {
      const { l2 } = make();
      await entryOf(l2, first!);
      await expect(entryOf(l2, second!)).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
    },
  );

  test('refuse a cluster after a table that is not completed, and one in a completed table', async () => {
    const { l2 } = make();
    l2.entriesOf(guestCluster(60));
    expect(() => l2.entriesOf(guestCluster(64))).toThrow(/out of order/);
    await l2.complete();
    expect(() => l2.entriesOf(guestCluster(61))).toThrow(/out of order/);
  });

  test('return the entries of many clusters at once, within one table', async () => {
    const { storage, finish, l2 } = make();
    expect([0, 63, 64, 130].map((cluster) => l2.reachFrom(guestCluster(cluster)))).toEqual([64, 1, 64, 62]);
    const set = l2.entriesOf(guestCluster(130), 62);
    for (const index of [61, 0, 7]) set(BigInt(index) + 1n, 0n, index);
    expect(l2.end).toBe(192);
    expect(() => l2.entriesOf(guestCluster(191))).toThrow(/out of order/);
    await l2.complete();
    expect(() => l2.entriesOf(guestCluster(255), 2)).toThrow(/out of order/);
    await finish();
    const table = entriesOf(storage.bytes(Number(readU64(l2.takeL1(3), 16) & ~COPIED), 512));
    expect(table.map((raw, at) => [at, raw]).filter(([, raw]) => raw !== 0n)).toEqual([
      [2, 1n],
      [9, 8n],
      [63, 62n],
    ]);
  });

  test('have two numbers for each cluster when they are extended, and half as many entries', async () => {
    const { storage, finish, l2 } = make(geometry(14, 16, true));
    (await entryOf(l2, 0))(1n, 2n);
    (await entryOf(l2, 1023))(3n, 2n ** 64n - 1n);
    (await entryOf(l2, 1024))(5n);
    await l2.complete();
    await finish();
    const [first = 0n, second = 0n] = entriesOf(l2.takeL1(2));
    const table = entriesOf(storage.bytes(Number(first & ~COPIED), 16_384));
    expect([table.slice(0, 2), table.slice(-2)]).toEqual([
      [1n, 2n],
      [3n, 2n ** 64n - 1n],
    ]);
    expect(entriesOf(storage.bytes(Number(second & ~COPIED), 32))).toEqual([5n, 0n, 0n, 0n]);
  });

  test('refuse the first cluster after the largest L1 table with the message of qemu-img', async () => {
    const { l2 } = make();
    const clusters = (128 * 2 ** 30) / 512;
    await entryOf(l2, clusters - 1);
    await expect(entryOf(l2, clusters)).rejects.toMatchObject({
      code: 'ERR_LIMIT',
      message: "The image size is too large for file format 'qcow2' (try using a larger cluster size)",
    });
  });
});
