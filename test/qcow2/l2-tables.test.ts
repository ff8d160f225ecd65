import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { guestCluster, type HostOffset } from '../../src/qcow2/addresses.js';
import { readU64 } from '../../src/qcow2/be64.js';
import { ClusterAllocator } from '../../src/qcow2/cluster-allocator.js';
import { ClusterRun } from '../../src/qcow2/cluster-run.js';
import { geometry } from '../../src/qcow2/geometry.js';
import { L2Tables } from '../../src/qcow2/l2-tables.js';
import { Refcounts } from '../../src/qcow2/refcounts.js';
import { OverlapGuard } from '../../src/storage/overlap-guard.js';
import { payload, useRecordingStorage } from '../storage/recording-storage.js';

const makeStorage = useRecordingStorage();
const COPIED = 1n << 63n;

function make(l1Entries: number) {
  const sizes = geometry(9, 16);
  const storage = makeStorage();
  const allocator = new ClusterAllocator(sizes, 4096, 4096, new Refcounts(sizes), { setDataEnd() {} });
  const run = new ClusterRun(new OverlapGuard(storage, 4096), allocator, sizes.clusterSize, 4096);
  return { storage, run, l2: new L2Tables(sizes, l1Entries, run) };
}

/** As the image writer asks: the table before is completed when the cluster passes it. */
async function entryOf(l2: L2Tables, cluster: number) {
  if (l2.passes(guestCluster(cluster))) await l2.complete();
  return l2.entryOf(guestCluster(cluster));
}

const entriesOf = (table: Uint8Array) =>
  Array.from({ length: table.length / 8 }, (_, index) => readU64(table, index * 8));

describe('the L2 tables', () => {
  test('are found through the L1 table, with the entries that were set, for any ascending clusters', async () => {
    const lists = fc.uniqueArray(fc.integer({ min: 0, max: 64 * 20 - 1 }), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(lists, async (list) => {
        const { storage, run, l2 } = make(20);
        const clusters = list.sort((a, b) => a - b);
        for (const cluster of clusters) {
          const set = await entryOf(l2, cluster);
          // Every third is a normal cluster, whose place is not known before the run is placed.
          if (cluster % 3 === 0) await run.addCluster(payload(512), (offset) => set(BigInt(offset)));
          else set(BigInt(cluster) + COPIED / 2n);
        }
        await l2.complete();
        await run.finish();
        const l1 = entriesOf(l2.l1);
        expect(l1.length).toBe(20);
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
          } else expect(raw).toBe(BigInt(cluster) + COPIED / 2n);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('leave memory when a cluster beyond their reach comes, or at the end, and only then', async () => {
    const { run, l2 } = make(4);
    const placed: string[] = [];
    const addTable = run.addTable.bind(run);
    run.addTable = (table: Uint8Array, told: (offset: HostOffset) => void) => {
      placed.push(`table of ${Number(readU64(table, 0))}`);
      return addTable(table, told);
    };
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
      const { l2 } = make(4);
      await entryOf(l2, first!);
      await expect(entryOf(l2, second!)).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
    },
  );

  test('refuse a cluster past a table that was not completed', () => {
    const { l2 } = make(4);
    l2.entryOf(guestCluster(63));
    expect(() => l2.entryOf(guestCluster(64))).toThrow(/out of order/);
  });

  test('refuse a guest cluster past the disk before its L1 entry would be written', async () => {
    const { run, l2 } = make(1);
    (await entryOf(l2, 64))(1n);
    await expect(l2.complete().then(() => run.finish())).rejects.toThrow();
    expect(l2.l1).toEqual(new Uint8Array(8));
  });
});
