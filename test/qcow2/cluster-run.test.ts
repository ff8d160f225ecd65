import { describe, expect, test } from 'vitest';
import { hostCluster, hostOffset } from '../../src/qcow2/addresses.js';
import { ClusterAllocator } from '../../src/qcow2/cluster-allocator.js';
import { ClusterRun } from '../../src/qcow2/cluster-run.js';
import { geometry } from '../../src/qcow2/geometry.js';
import { RecountedRefcounts } from '../../src/qcow2/refcounts.js';
import { OverlapGuard } from '../../src/storage/overlap-guard.js';
import { stateOf } from '../storage/promise-state.js';
import { payload, useRecordingStorage } from '../storage/recording-storage.js';

const makeStorage = useRecordingStorage();
const MIB = 1024 * 1024;

function make(clusterBits: number, unit = Math.max(4096, 2 ** clusterBits)) {
  const sizes = geometry(clusterBits, 16);
  const storage = makeStorage();
  const guard = new OverlapGuard(storage, unit);
  const refcounts = new RecountedRefcounts(sizes);
  const allocator = new ClusterAllocator(sizes, unit, unit, refcounts, {
    setDataEnd() {},
    beginTableArea() {},
  });
  const run = new ClusterRun(guard, allocator, sizes.clusterSize, unit);
  const count = (cluster: number) => refcounts.get(hostCluster(cluster));
  return { storage, guard, allocator, run, count, clusterSize: sizes.clusterSize };
}

/** Records the places that it is told, by name. */
function places() {
  const seen: [string, number][] = [];
  return { seen, note: (name: string) => (offset: number) => void seen.push([name, offset]) };
}

describe('a run', () => {
  test('is one write of contiguous clusters in the order of their arrival, padded to the unit', async () => {
    const { storage, run, count } = make(9);
    const { seen, note } = places();
    const bytes = [1, 2, 3].map((seed) => payload(512, seed));
    for (const [index, cluster] of bytes.entries()) await run.addCluster(cluster, note(`${index}`));
    expect([storage.writes.length, seen]).toEqual([0, []]);
    await run.finish();
    expect(seen).toEqual([
      ['0', 4096],
      ['1', 4608],
      ['2', 5120],
    ]);
    const padded = Buffer.concat([...bytes, Buffer.alloc(4096 - 3 * 512)]);
    expect(storage.writes.map(({ offset, bytes }) => [offset, Buffer.from(bytes)])).toEqual([[4096, padded]]);
    expect([7, 8, 9, 10, 11].map(count)).toEqual([0, 1, 1, 1, 0]);
  });

  test('is written once it holds 2 MiB; a cluster of 2 MiB at once', async () => {
    const { storage, run } = make(16);
    for (let index = 0; index < 33; index += 1) await run.addCluster(payload(65_536, index), () => {});
    expect(storage.writes.map(({ offset, length }) => [offset, length])).toEqual([[65_536, 2 * MIB]]);
    await run.finish();
    expect(storage.writes.slice(1).map(({ offset, length }) => [offset, length])).toEqual([
      [65_536 + 2 * MIB, 65_536],
    ]);
    const large = make(21);
    await large.run.addCluster(payload(2 * MIB), () => {});
    expect(large.storage.writes.map(({ offset, length }) => [offset, length])).toEqual([[2 * MIB, 2 * MIB]]);
  });

  test('holds no bytes of the previous run: unused bytes are zeros', async () => {
    const { storage, run } = make(9);
    for (const length of [8, 8, 8, 1, 1, 1]) {
      for (let index = 0; index < length; index += 1) await run.addCluster(payload(512, index), () => {});
      await run.place();
    }
    await run.finish();
    for (const { bytes } of storage.writes.slice(3)) {
      expect(Buffer.compare(Buffer.from(bytes.subarray(512)), Buffer.alloc(4096 - 512))).toBe(0);
    }
  });

  test('copies a cluster when it is added, so that its bytes may change afterwards', async () => {
    const { storage, run } = make(12);
    const bytes = payload(4096);
    await run.addCluster(bytes, () => {});
    bytes.fill(0);
    await run.finish();
    expect(Buffer.from(storage.bytes(4096, 4096))).toEqual(Buffer.from(payload(4096)));
  });

  test('calls back for a table once the clusters before it have places, or at once when none waits', async () => {
    const { run } = make(12);
    const { seen, note } = places();
    const told = (name: string) => () => note(name)(hostOffset(0));
    await run.whenPlaced(4096, told('first'));
    await run.addCluster(payload(4096), note('cluster'));
    await run.whenPlaced(4096, told('table'));
    await run.addCluster(payload(4096, 2), note('other'));
    expect(seen.map(([name]) => name)).toEqual(['first']);
    await run.finish();
    expect(seen.map(([name]) => name)).toEqual(['first', 'cluster', 'table', 'other']);
  });

  test('is placed when the tables that wait for it take as much memory as a run', async () => {
    const { run } = make(16);
    const { seen, note } = places();
    await run.addCluster(payload(65_536), note('cluster'));
    for (let index = 0; index < 31; index += 1) await run.whenPlaced(65_536, () => {});
    expect(seen).toEqual([]);
    await run.whenPlaced(65_536, () => {});
    expect(seen.length).toBe(1);
    await run.finish();
  });

  test('is filled while the two before it are written; the third is written after the first', async () => {
    const { storage, run } = make(21);
    storage.hold();
    await run.addCluster(payload(2 * MIB, 1), () => {});
    await run.addCluster(payload(2 * MIB, 2), () => {});
    const third = run.addCluster(payload(2 * MIB, 3), () => {});
    expect(await stateOf(third)).toBe('waiting');
    expect(storage.writes.length).toBe(2);
    storage.release(storage.writes[0]);
    await third;
    expect(storage.writes.length).toBe(3);
    const finished = run.finish();
    expect(await stateOf(finished)).toBe('waiting');
    storage.releaseAll();
    await finished;
    for (const fill of [1, 2, 3]) {
      expect(Buffer.from(storage.bytes(2 * fill * MIB, 9))).toEqual(Buffer.from(payload(9, fill)));
    }
  });

  test.each([0, 1, 2])('number %i that fails makes the next call and all later ones fail', async (index) => {
    const { storage, run } = make(16);
    const error = new Error('no space');
    storage.failNth(index, error);
    const cluster = payload(65_536);
    const add = async () => {
      for (let added = 0; added < 32 * 4; added += 1) await run.addCluster(cluster, () => {});
      await run.finish();
    };
    await expect(add()).rejects.toBe(error);
    await expect(run.finish()).rejects.toBe(error);
    await run.addCluster(cluster, () => {}).catch(() => {});
    await expect(run.finish()).rejects.toBe(error);
  });

  test('that is the last and fails makes finish fail', async () => {
    const { storage, run } = make(16);
    storage.failNth(0, new Error('no space'));
    await run.addCluster(payload(65_536), () => {});
    await expect(run.finish()).rejects.toThrow('no space');
  });

  test('skips reserved clusters: one write for each piece, all in flight together', async () => {
    const { storage, run, count } = make(12);
    const { seen, note } = places();
    await run.reserve(2, note('a'));
    await run.addCluster(payload(4096, 1), note('b'));
    await run.addCluster(payload(4096, 2), note('c'));
    await run.reserve(1, note('d'));
    await run.reserve(3, note('e'));
    await run.addCluster(payload(4096, 3), note('f'));
    await run.reserve(1, note('g'));
    storage.hold();
    const finished = run.finish();
    expect(await stateOf(finished)).toBe('waiting');
    expect(storage.writes.map(({ offset, length }) => [offset / 4096, length / 4096])).toEqual([
      [3, 2],
      [9, 1],
    ]);
    storage.releaseAll();
    await finished;
    expect(seen.map(([name, offset]) => [name, offset / 4096])).toEqual([
      ['a', 1],
      ['b', 3],
      ['c', 4],
      ['d', 5],
      ['e', 6],
      ['f', 9],
      ['g', 10],
    ]);
    const written = Buffer.concat([1, 2, 3].map((seed) => payload(4096, seed)));
    const found = Buffer.concat(storage.writes.map(({ bytes }) => bytes));
    expect(Buffer.compare(found, written)).toBe(0);
    expect([0, 1, 10, 11].map(count)).toEqual([0, 1, 1, 0]);
  });

  test('writes zeros for reserved clusters that share a unit with written ones', async () => {
    const { storage, run } = make(9);
    // Both buffers have been used.
    for (let index = 0; index < 8192; index += 1) await run.addCluster(payload(512, index), () => {});
    const begin = 4096 + 8192 * 512;
    // Of the units of eight clusters 0 to 2 are one piece and 6 another; 3 to 5 stay untouched.
    for (const [cluster, reserved] of [
      [0, 9],
      [10, 9],
      [20, 30],
      [51, 1],
    ] as const) {
      await run.addCluster(payload(512, cluster), () => {});
      await run.reserve(reserved, () => {});
    }
    await run.finish();
    const pieces = storage.writes.slice(2).map(({ offset, length }) => [offset - begin, length]);
    expect(pieces).toEqual([
      [0, 3 * 4096],
      [6 * 4096, 4096],
    ]);
    const expected = Buffer.alloc(7 * 4096);
    for (const cluster of [0, 10, 20, 51]) expected.set(payload(512, cluster), cluster * 512);
    expect(Buffer.compare(storage.bytes(begin, expected.length), expected)).toBe(0);
  });

  test('continues in a new run when padding leaves no room', async () => {
    const { storage, run } = make(9);
    const { seen, note } = places();
    for (let index = 0; index < 4090; index += 1) await run.addCluster(payload(512, index), () => {});
    await run.reserve(16, () => {});
    expect(storage.writes.length).toBe(0);
    await run.addCluster(payload(512, 5), note('next'));
    await run.finish();
    expect(storage.writes.map(({ length }) => length)).toEqual([2 * MIB, 4096]);
    // After 4106 clusters, in the next unit.
    expect(seen).toEqual([['next', 4096 + 4112 * 512]]);
    expect(storage.violations).toEqual([]);
  });

  test('limits the number of waiting reservations', async () => {
    const { run } = make(16);
    const { seen, note } = places();
    for (let index = 0; index < 10_000; index += 1) await run.reserve(1, note(`${index}`));
    expect(seen.length).toBeGreaterThan(8000);
    await run.finish();
    expect(seen.length).toBe(10_000);
  });

  test('of several pieces reports the first failure, when all have ended', async () => {
    const { storage, run } = make(16);
    storage.failWhen = (_, index) =>
      index > 0 ? { error: new Error(`number ${index}`), taken: 0 } : undefined;
    for (let index = 0; index < 3; index += 1) {
      await run.addCluster(payload(65_536, index), () => {});
      await run.reserve(1, () => {});
    }
    await expect(run.finish()).rejects.toThrow('number 1');
    expect(storage.underWay).toEqual([]);
  });

  test('without clusters writes nothing and takes no space', async () => {
    const { storage, run, allocator } = make(16);
    await run.place();
    await run.finish();
    expect([storage.writes.length, allocator.firstFree]).toEqual([0, 1]);
  });
});
