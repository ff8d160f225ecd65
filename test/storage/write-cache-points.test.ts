/**
 * The promises of the compressed write cache, numbered as in docs/write-cache.md. Each test fails if the behaviour that
 * it names is removed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { CachedHostCluster } from '../../src/storage/cached-host-cluster.js';
import { CompressedWriteCache } from '../../src/storage/compressed-write-cache.js';
import { OverlapGuard } from '../../src/storage/overlap-guard.js';
import type { Storage } from '../../src/storage/storage.js';
import { stateOf, turn } from './promise-state.js';
import {
  expectSameBytes,
  payload,
  type RecordedWrite,
  type RecordingStorage,
  useRecordingStorage,
} from './recording-storage.js';
import { CLUSTER, fill, makeSmallCache } from './small-cache.js';

/** Number of accesses to the index of any cached host cluster. */
const looks = vi.hoisted(() => ({ count: 0 }));

vi.mock('../../src/storage/cached-host-cluster.js', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../src/storage/cached-host-cluster.js')>();
  class WatchedHostCluster extends original.CachedHostCluster {
    constructor(index: number, clusterSize: number) {
      super(index, clusterSize);
      const get = () => {
        looks.count += 1;
        return index;
      };
      Object.defineProperty(this, 'index', { get });
    }
  }
  return { ...original, CachedHostCluster: WatchedHostCluster };
});

const ERROR = new Error('no space');
const recordingStorage = useRecordingStorage();

function makeCache(slots: number, storage: RecordingStorage = recordingStorage()) {
  return makeSmallCache(slots, storage);
}

/** The numbers 0 to count-1 in an order that is neither ascending nor descending. */
const shuffled = (count: number) => Array.from({ length: count }, (_, at) => (at * 7919) % count);
const clustersOf = (writes: readonly RecordedWrite[]) => writes.map(({ offset }) => offset / CLUSTER);

describe('1. host clusters are looked up by index', () => {
  test('a write looks at no host cluster but its own, however many are cached', async () => {
    const storage = recordingStorage();
    const cache = CompressedWriteCache.create(storage, 4096, 1000 * 4096);
    for (const cluster of shuffled(1000)) await cache.write(2 * cluster * 4096, payload(10));
    looks.count = 0;
    for (const cluster of shuffled(1000)) await cache.write(2 * cluster * 4096 + 10, payload(10));
    for (const cluster of shuffled(1000)) cache.setDataEnd(2 * cluster, 4000);
    expect(looks.count).toBeLessThanOrEqual(1000);
  });
});

describe('2. a host cluster is one page-aligned buffer, its filled bytes are sorted ranges', () => {
  test('any number of writes in any order leaves as one aligned buffer with each byte in its slot', async () => {
    const { storage, cache } = makeCache(1);
    const bytes = payload(CLUSTER);
    for (const at of shuffled(2048)) await cache.write(at * 32, bytes.subarray(at * 32, at * 32 + 32));
    await turn();
    expect(storage.writes).toHaveLength(1);
    expect(storage.writes[0]).toMatchObject({ offset: 0, length: CLUSTER, buffers: [{ length: CLUSTER }] });
    expect(Number(storage.writes[0]!.buffers[0]!.address % 4096n)).toBe(0);
    expectSameBytes(storage.bytes(0, CLUSTER), bytes);
  });

  test('the storage gets the filled memory itself, and no copy of it', async () => {
    const { storage, cache } = makeCache(1);
    for (const cluster of [3, 9, 27]) {
      await fill(cache, cluster);
      await turn();
    }
    expect(new Set(storage.writes.map(({ buffers }) => buffers[0]!.address)).size).toBe(1);
  });
});

describe('3. overlapping or repeated writes are refused', () => {
  test.each([
    ['repeats', 1000, 100],
    ['reaches into the start of', 950, 51],
    ['begins at the last byte of', 1099, 10],
    ['lies inside', 1040, 10],
    ['encloses', 900, 300],
    ['fills the gap and more between', 1100, 101],
  ])('a write that %s the filled range changes nothing', async (_, start, length) => {
    const { storage, cache } = makeCache(1);
    await cache.write(1000, payload(100, 2));
    await cache.write(1200, payload(100, 3));
    await expect(cache.write(start, payload(length, 4))).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
    await cache.flush();
    expect(storage.bytes(900, 600)).toEqual(
      new Uint8Array([
        ...new Uint8Array(100),
        ...payload(100, 2),
        ...new Uint8Array(100),
        ...payload(100, 3),
        ...new Uint8Array(200),
      ]),
    );
  });

  test('a write whose second part overlaps is refused as a whole', async () => {
    const { storage, cache } = makeCache(2);
    await cache.write(CLUSTER + 5, payload(10));
    await expect(cache.write(CLUSTER - 10, payload(16))).rejects.toThrow('some are filled already');
    await cache.flush();
    expect(clustersOf(storage.writes)).toEqual([1]);
  });

  test('a run is refused as a whole if any part of it overlaps or lies past a data end', async () => {
    const { storage, cache } = makeCache(4);
    await cache.write(2 * CLUSTER + 5, payload(10));
    cache.setDataEnd(4, 100);
    const run = (offset: number) => cache.writeRun(offset, [50_000, 50_000, 50_000], payload(150_000));
    await expect(run(100)).rejects.toThrow('some are filled already');
    await expect(run(3 * CLUSTER)).rejects.toThrow('its data ends at 100');
    await cache.flush();
    expect(clustersOf(storage.writes)).toEqual([2]);
  });

  test('a write past the data end is refused', async () => {
    const { cache } = makeCache(1);
    await cache.write(0, payload(10));
    cache.setDataEnd(0, 100);
    await expect(cache.write(91, payload(10))).rejects.toThrow('its data ends at 100');
    await cache.write(90, payload(10));
  });

  test('a repeated write into a host cluster that is under way is refused at once', async () => {
    const { storage, cache } = makeCache(1);
    storage.hold();
    await fill(cache, 0);
    await expect(cache.write(10, payload(10))).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
    storage.releaseAll();
  });

  test('of two writes of the same bytes that wait for a slot together one is refused', async () => {
    const { cache } = makeCache(1);
    await cache.write(0, payload(10));
    const calls = [cache.write(CLUSTER, payload(10)), cache.write(CLUSTER + 9, payload(10))];
    await cache.drop(0);
    expect((await Promise.allSettled(calls)).map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  });

  test('bytes outside the host cluster are refused', () => {
    const cluster = new CachedHostCluster(0, CLUSTER);
    expect(() => cluster.refuseOverlap(CLUSTER - 1, CLUSTER + 1)).toThrow(`its data ends at ${CLUSTER}`);
    expect(() => cluster.refuseOverlap(CLUSTER - 1, CLUSTER)).not.toThrow();
  });
});

describe('4. a finished host cluster is written at once', () => {
  test('when its last byte is filled in', async () => {
    const { storage, cache } = makeCache(8);
    await fill(cache, 0, 0, CLUSTER - 1);
    await turn();
    expect(storage.writes).toEqual([]);
    const last = cache.write(CLUSTER - 1, payload(1));
    expect(clustersOf(storage.writes)).toEqual([0]);
    await last;
  });

  test('when the bytes up to its data end are there, whichever comes first', async () => {
    const { storage, cache } = makeCache(8);
    await cache.write(100, payload(100));
    await cache.write(0, payload(100));
    cache.setDataEnd(0, 200);
    expect(clustersOf(storage.writes)).toEqual([0]);
    cache.setDataEnd(5, 200);
    await cache.write(5 * CLUSTER, payload(100));
    await turn();
    expect(clustersOf(storage.writes)).toEqual([0]);
    await cache.write(5 * CLUSTER + 100, payload(100));
    expect(clustersOf(storage.writes)).toEqual([0, 5]);
  });

  test('but not while a byte is missing, even if another write needs a slot', async () => {
    const { storage, cache } = makeCache(2);
    await fill(cache, 0, 1);
    await fill(cache, 1, 0, CLUSTER - 1);
    const waiting = cache.write(2 * CLUSTER, payload(10));
    expect(await stateOf(waiting)).toBe('waiting');
    expect(storage.writes).toEqual([]);
    await cache.write(0, payload(1));
    await waiting;
    expect(clustersOf(storage.writes)).toEqual([0]);
  });

  test('and leaves the cache: a read goes to the storage', async () => {
    const { storage, cache } = makeCache(1);
    await fill(cache, 0);
    await turn();
    storage.readsExpected = true;
    await cache.read(0, 10);
    expect(storage.reads).toHaveLength(1);
    cache.free();
  });
});

describe('4. and 7. for a run of compressed clusters in one call', () => {
  test.each([1, 2, 5])(
    'with %d slots it fills host cluster after host cluster, and each leaves at once',
    async (slots) => {
      const { storage, cache } = makeCache(slots);
      const bytes = payload(200_000);
      const given = bytes.slice();
      await cache.writeRun(CLUSTER, [40_000, 40_000, 40_000, 40_000, 40_000], given);
      given.fill(0);
      await turn();
      const whole = storage.writes.map(({ offset, length }) => [offset, length]);
      await cache.stop();
      expect(storage.writes.reduce((sum, { length }) => sum + length, 0)).toBe(3 * CLUSTER + 4096);
      expect(whole.reduce((sum, [, length = 0]) => sum + length, 0)).toBe(3 * CLUSTER);
      expectSameBytes(storage.bytes(CLUSTER, 200_000), bytes);
    },
  );

  test('a part waits while no slot is free, and a part whose host cluster has a slot does not', async () => {
    const { cache } = makeCache(1);
    await cache.write(2 * CLUSTER - 5, payload(5));
    const run = cache.writeRun(CLUSTER, [CLUSTER - 10, 5], payload(CLUSTER - 5));
    expect(await stateOf(run)).toBe('resolved');
    await cache.write(3 * CLUSTER, payload(10));
    const waiting = cache.writeRun(4 * CLUSTER, [10, 10], payload(20));
    expect(await stateOf(waiting)).toBe('waiting');
    cache.setDataEnd(3, 10);
    await waiting;
  });

  test.each([
    ['an empty run', [], 0],
    ['an empty compressed cluster', [10, 0], 10],
    ['one as long as a host cluster', [10, CLUSTER], CLUSTER + 10],
    ['fewer bytes than their lengths', [10, 10], 19],
  ])('%s is refused', async (_, given, length) => {
    const { cache } = makeCache(1);
    await expect(cache.writeRun(0, given, payload(length))).rejects.toBeInstanceOf(RangeError);
    expect(() => cache.free()).not.toThrow();
  });

  test('without a cache each compressed cluster is written by itself', async () => {
    const storage = recordingStorage({ alignment: 1 });
    const cache = CompressedWriteCache.create(storage, CLUSTER, 0);
    await cache.writeRun(10, [100, 200, 300], payload(600));
    expect(storage.writes.map(({ offset, length }) => [offset, length])).toEqual([
      [10, 100],
      [110, 200],
      [310, 300],
    ]);
  });
});

describe('5. only finished or flushed host clusters are padded, and nothing is read back', () => {
  test.each([
    ['512, at least 4 KiB', 512, CLUSTER, 4096],
    ['1, at least 4 KiB', 1, CLUSTER, 4096],
    ['4096', 4096, CLUSTER, 4096],
    ['16384', 16384, CLUSTER, 16384],
    ['512, at most the cluster', 512, 2048, 2048],
  ])('to an alignment of %s', async (_, alignment, clusterSize, length) => {
    const storage = recordingStorage({ alignment, background: 0xee });
    const cache = CompressedWriteCache.create(storage, clusterSize, clusterSize);
    await cache.write(0, payload(clusterSize - 1).fill(0xff));
    await cache.drop(0);
    await cache.write(3 * clusterSize, payload(100));
    cache.setDataEnd(3, 100);
    await turn();
    expect(storage.writes).toHaveLength(1);
    const expected = new Uint8Array(length + 1);
    expected.set(payload(100));
    expected[length] = 0xee;
    expectSameBytes(storage.bytes(3 * clusterSize, length + 1), expected);
  });

  test('an unfinished host cluster is written by a flush, stays, and is rewritten whole later', async () => {
    const { storage, cache } = makeCache(1);
    await cache.write(10, payload(100, 1));
    await cache.flush();
    expect(storage.writes.map(({ offset, length }) => [offset, length])).toEqual([[0, 4096]]);
    await cache.write(5000, payload(100, 2));
    await turn();
    expect(storage.writes).toHaveLength(1);
    await cache.write(110, payload(4890, 3));
    await cache.write(0, payload(10, 4));
    cache.setDataEnd(0, 5100);
    await turn();
    expect(storage.writes.map(({ offset, length }) => [offset, length])).toEqual([
      [0, 4096],
      [0, 8192],
    ]);
    const expected = new Uint8Array(8192);
    expected.set(payload(10, 4));
    expected.set(payload(100, 1), 10);
    expected.set(payload(4890, 3), 110);
    expected.set(payload(100, 2), 5000);
    expectSameBytes(storage.bytes(0, 8192), expected);
    expect(storage.reads).toEqual([]);
  });

  test('gaps are zeros, also in memory that held other bytes', async () => {
    const { storage, cache } = makeCache(1);
    await fill(cache, 9);
    await cache.write(100, payload(10));
    await cache.write(4200, payload(10));
    await cache.stop();
    const expected = new Uint8Array(8192);
    expected.set(payload(10), 100);
    expected.set(payload(10), 4200);
    expectSameBytes(storage.bytes(0, 8192), expected);
  });
});

describe('6. a write to a host cluster in flight waits until that write ends', () => {
  test('it neither changes the bytes under way nor goes beside them', async () => {
    const { storage, cache } = makeCache(2);
    await cache.write(0, payload(10));
    storage.hold();
    const flushed = cache.flush();
    const later = cache.write(10, payload(10, 2));
    expect(await stateOf(later)).toBe('waiting');
    expect(storage.writes).toHaveLength(1);
    storage.releaseAll();
    await flushed;
    await later;
    expect(storage.bytes(0, 20)).toEqual(new Uint8Array([...payload(10), ...new Uint8Array(10)]));
    await cache.stop();
    expect(storage.bytes(0, 20)).toEqual(new Uint8Array([...payload(10), ...payload(10, 2)]));
    expect(storage.writes).toHaveLength(2);
  });

  test('straight through, writes that share a block go one after the other', async () => {
    const storage = recordingStorage();
    storage.readsExpected = true;
    const cache = CompressedWriteCache.create(storage, CLUSTER, 0);
    storage.hold();
    const calls = [0, 1, 2].map((at) => cache.write(at * 100, payload(100, at)));
    await turn();
    expect(storage.writes).toHaveLength(1);
    storage.releaseAll();
    await Promise.all(calls);
    expect(storage.bytes(0, 300)).toEqual(
      new Uint8Array([...payload(100, 0), ...payload(100, 1), ...payload(100, 2)]),
    );
  });
});

describe('7. a waiting write wakes when it can go on, and not before', () => {
  test('a slot is free when the write of its last user is over, not when it begins', async () => {
    const { storage, cache } = makeCache(1);
    storage.hold();
    await fill(cache, 0, 0, CLUSTER - 1);
    const before = cache.write(CLUSTER, payload(10, 2));
    await cache.write(CLUSTER - 1, payload(1));
    const after = cache.write(CLUSTER + 10, payload(10, 3));
    expect(storage.underWay).toHaveLength(1);
    expect([await stateOf(before), await stateOf(after)]).toEqual(['waiting', 'waiting']);
    storage.release(storage.writes[0]);
    await Promise.all([before, after]);
  });

  test('a write that frees no slot wakes no waiting write', async () => {
    const { storage, cache } = makeCache(2);
    await cache.write(0, payload(10));
    await cache.write(CLUSTER, payload(10));
    const waiting = cache.write(2 * CLUSTER, payload(10));
    await cache.flush();
    expect(storage.writes.length).toBeGreaterThan(0);
    expect(await stateOf(waiting)).toBe('waiting');
    cache.setDataEnd(1, 10);
    await waiting;
  });

  test('one free slot wakes one host cluster, the first that asked', async () => {
    const { cache } = makeCache(2);
    await cache.write(0, payload(10));
    await cache.write(CLUSTER, payload(10));
    const waiting = [5, 4, 3].map((cluster) => cache.write(cluster * CLUSTER, payload(10)));
    cache.setDataEnd(0, 10);
    expect(await Promise.all(waiting.map(stateOf))).toEqual(['resolved', 'waiting', 'waiting']);
    await cache.drop(1);
    expect(await Promise.all(waiting.map(stateOf))).toEqual(['resolved', 'resolved', 'waiting']);
  });

  test('a write that waits for its host cluster is not woken by the end of another write', async () => {
    const { storage, cache } = makeCache(2);
    await cache.write(0, payload(10));
    await cache.write(5 * CLUSTER, payload(10));
    storage.hold();
    const flushed = cache.flush();
    const waiting = cache.write(10, payload(10));
    storage.release(storage.writes[1]);
    expect(await stateOf(waiting)).toBe('waiting');
    storage.releaseAll();
    await Promise.all([flushed, waiting]);
  });
});

describe('8. errors are returned and sticky', () => {
  const outcomeOf = (call: Promise<void>): Promise<unknown> =>
    call.then(
      () => 'done',
      (error) => error,
    );

  /** Fills host clusters 0, 2, 4, 6 and half of 8; returns what became of each call. */
  async function run(cache: CompressedWriteCache) {
    const outcomes: unknown[] = [];
    const keep = async (call: Promise<void>) => {
      outcomes.push(await outcomeOf(call));
      await turn();
    };
    for (const cluster of [0, 2, 4, 6]) {
      for (const at of [0, 1]) {
        await keep(cache.write(cluster * CLUSTER + at * 32768, payload(32768)));
      }
    }
    await keep(cache.write(8 * CLUSTER, payload(5000)));
    await keep(cache.stop());
    return outcomes;
  }

  test.each([
    ['first', 0, 2],
    ['third', 2, 6],
    ['last but one', 3, 8],
    ['last, partial', 4, 9],
  ])('after the %s write has failed every call rejects with its error', async (_, index, accepted) => {
    const { storage, cache } = makeCache(2);
    storage.failNth(index, ERROR, 512);
    const outcomes = await run(cache);
    expect(outcomes).toEqual([
      ...new Array(accepted).fill('done'),
      ...new Array(outcomes.length - accepted).fill(ERROR),
    ]);
    await expect(cache.write(20 * CLUSTER, payload(10))).rejects.toBe(ERROR);
    await expect(cache.flush()).rejects.toBe(ERROR);
    await expect(cache.stop()).rejects.toBe(ERROR);
    expect(storage.writes).toHaveLength(index + 1);
    cache.free();
  });

  test('without a failure the same run succeeds', async () => {
    const { storage, cache } = makeCache(2);
    expect(await run(cache)).toEqual(new Array(10).fill('done'));
    expect(storage.writes.at(-1)).toMatchObject({ offset: 8 * CLUSTER, length: 8192 });
  });

  test('waiting writes reject, and queued host clusters are not written', async () => {
    const { storage, cache } = makeCache(4);
    for (const cluster of [0, 2, 4, 6]) await cache.write(cluster * CLUSTER, payload(10));
    storage.hold();
    const calls = [
      cache.flush(),
      cache.write(10, payload(10)),
      cache.write(9 * CLUSTER, payload(10)),
      cache.drop(0),
    ].map(outcomeOf);
    expect(storage.writes).toHaveLength(2);
    storage.release(storage.writes[0], { error: ERROR, taken: 0 });
    await turn();
    storage.releaseAll();
    expect(await Promise.all(calls)).toEqual([ERROR, ERROR, ERROR, ERROR]);
    expect(storage.writes).toHaveLength(2);
  });

  test('a second failure does not hide the first', async () => {
    const { storage, cache } = makeCache(2);
    await cache.write(0, payload(10));
    await cache.write(5 * CLUSTER, payload(10));
    storage.hold();
    const calls = [cache.flush(), cache.write(5 * CLUSTER + 10, payload(10)), cache.drop(5)].map(outcomeOf);
    storage.release(storage.writes[0], { error: ERROR, taken: 0 });
    await turn();
    storage.release(storage.writes[1], { error: new Error('a later one'), taken: 0 });
    expect(await Promise.all(calls)).toEqual([ERROR, ERROR, ERROR]);
    await expect(cache.write(9 * CLUSTER, payload(10))).rejects.toBe(ERROR);
  });

  test('a host cluster that is finished after the failure is not written', async () => {
    const { storage, cache } = makeCache(2);
    await cache.write(0, payload(10));
    await cache.write(5 * CLUSTER, payload(10));
    storage.hold();
    const flushed = cache.flush();
    storage.release(storage.writes[0], { error: ERROR, taken: 0 });
    storage.releaseAll();
    await expect(flushed).rejects.toBe(ERROR);
    cache.setDataEnd(0, 10);
    await turn();
    expect(storage.writes).toHaveLength(2);
  });

  test('a storage that throws instead of rejecting is no different', async () => {
    const { storage, cache } = makeCache(1);
    vi.spyOn(storage, 'write').mockImplementation(() => {
      throw ERROR;
    });
    await cache.write(0, payload(10));
    await expect(cache.flush()).rejects.toBe(ERROR);
    await expect(cache.write(10, payload(10))).rejects.toBe(ERROR);
  });
});

describe('9. every write to the descriptor passes the overlap check', () => {
  const TABLE = 3;

  async function guarded(cacheSize: number) {
    const storage = recordingStorage({ alignment: 1 });
    const guard = new OverlapGuard(storage, CLUSTER);
    guard.reserve(TABLE * CLUSTER, CLUSTER);
    await guard.writeTables(TABLE * CLUSTER, [payload(CLUSTER, 77)]);
    const cache = CompressedWriteCache.create(guard, CLUSTER, cacheSize);
    return { storage, cache };
  }

  const paths: [string, number, (cache: CompressedWriteCache, offset: number) => Promise<void>][] = [
    [
      'a finished host cluster',
      CLUSTER,
      async (cache, offset) => {
        await cache.write(offset, payload(10));
        cache.setDataEnd(Math.floor(offset / CLUSTER), 10);
        await cache.flush();
      },
    ],
    [
      'a flush',
      CLUSTER,
      async (cache, offset) => {
        await cache.write(offset, payload(10));
        await cache.flush();
      },
    ],
    [
      'a stop',
      CLUSTER,
      async (cache, offset) => {
        await cache.write(offset, payload(10));
        await cache.stop();
      },
    ],
    [
      'a write after stop',
      CLUSTER,
      async (cache, offset) => {
        await cache.stop();
        await cache.write(offset, payload(10));
      },
    ],
    ['the bypass', 0, (cache, offset) => cache.write(offset, payload(10))],
  ];

  test.each(paths)('%s cannot write over the header or a table', async (_, cacheSize, act) => {
    for (const cluster of [0, TABLE]) {
      const { storage, cache } = await guarded(cacheSize);
      await expect(act(cache, cluster * CLUSTER)).rejects.toThrow('would overwrite a table');
      expect(storage.writes).toHaveLength(1);
      await expect(cache.stop()).rejects.toThrow('would overwrite a table');
    }
  });
});

describe('10. the limit counts host clusters that hold bytes', () => {
  test('a data end on an empty one needs no slot and does not wait, also when the cache is full', async () => {
    const { storage, cache } = makeCache(1);
    for (let cluster = 1; cluster < 100; cluster += 1) cache.setDataEnd(cluster, 20);
    await cache.write(0, payload(10));
    for (let cluster = 100; cluster < 200; cluster += 1) cache.setDataEnd(cluster, 20);
    await fill(cache, 0, 10);
    await cache.write(150 * CLUSTER, payload(20, 2));
    await turn();
    expect(clustersOf(storage.writes)).toEqual([0, 150]);
  });

  test.each([1, 2, 5])('%d hold bytes and no more', async (slots) => {
    const { cache } = makeCache(slots);
    for (let cluster = 0; cluster < slots; cluster += 1) await cache.write(cluster * CLUSTER, payload(10));
    const next = cache.write(slots * CLUSTER, payload(10));
    expect(await stateOf(next)).toBe('waiting');
    await cache.drop(0);
    expect(await stateOf(next)).toBe('resolved');
    expect(await stateOf(cache.write(0, payload(10)))).toBe('waiting');
  });
});

describe('11. the alignment is read from the storage for each access', () => {
  test('rounding follows it', async () => {
    const { storage, cache } = makeCache(1);
    for (const [cluster, alignment, length] of [
      [0, 4096, 4096],
      [2, 16384, 16384],
      [4, 1, 4096],
    ] as const) {
      storage.alignment = alignment;
      await cache.write(cluster * CLUSTER, payload(10));
      cache.setDataEnd(cluster, 10);
      await turn();
      expect(storage.writes.at(-1)).toMatchObject({ offset: cluster * CLUSTER, length });
    }
  });

  test('reading and writing past the cache follow it', async () => {
    const storage = recordingStorage();
    storage.readsExpected = true;
    const cache = CompressedWriteCache.create(storage, CLUSTER, 0);
    await cache.write(10, payload(10));
    await cache.read(10, 10);
    storage.alignment = 1;
    await cache.write(20, payload(10));
    await cache.read(10, 10);
    expect(storage.writes.map(({ offset, length }) => [offset, length])).toEqual([
      [0, 4096],
      [20, 10],
    ]);
    expect(storage.reads).toEqual([
      { offset: 0, length: 4096 },
      { offset: 0, length: 4096 },
      { offset: 10, length: 10 },
    ]);
  });
});

describe('12. freeing a cache that still holds bytes is an error unless a write has failed', () => {
  test.each<[string, (cache: CompressedWriteCache, storage: RecordingStorage) => Promise<unknown>]>([
    ['bytes of an unfinished host cluster', (cache) => cache.write(0, payload(10))],
    [
      'a host cluster under way',
      async (cache, storage) => {
        storage.hold();
        await fill(cache, 0);
      },
    ],
    [
      'bytes accepted after a flush',
      async (cache) => {
        await cache.write(0, payload(10));
        await cache.flush();
        await cache.write(10, payload(10));
      },
    ],
    [
      'a write that waits for a slot',
      async (cache) => {
        await cache.write(0, payload(10));
        await cache.flush();
        void cache.write(CLUSTER, payload(10));
      },
    ],
  ])('%s', async (_, prepare) => {
    const { storage, cache } = makeCache(1);
    await prepare(cache, storage);
    expect(() => cache.free()).toThrow('was freed with host cluster');
    storage.releaseAll();
    await turn();
  });

  test.each<[string, (cache: CompressedWriteCache) => Promise<unknown>]>([
    ['nothing was written', async () => {}],
    ['only a data end is set', async (cache) => cache.setDataEnd(5, 10)],
    ['everything has left', (cache) => fill(cache, 0)],
    [
      'all bytes are flushed',
      async (cache) => {
        await cache.write(0, payload(10));
        await cache.flush();
      },
    ],
    [
      'it was stopped',
      async (cache) => {
        await cache.write(0, payload(10));
        await cache.stop();
      },
    ],
    [
      'the bytes were dropped',
      async (cache) => {
        await cache.write(0, payload(10));
        await cache.drop(0);
      },
    ],
  ])('it may be freed when %s', async (_, prepare) => {
    const { cache } = makeCache(1);
    await prepare(cache);
    await turn();
    expect(() => cache.free()).not.toThrow();
  });

  test('it may be freed with bytes when a flush has failed', async () => {
    const { storage, cache } = makeCache(2);
    await cache.write(0, payload(10));
    await cache.write(5 * CLUSTER, payload(10));
    storage.failNth(0, ERROR);
    await expect(cache.flush()).rejects.toBe(ERROR);
    expect(() => cache.free()).not.toThrow();
  });
});

describe('13. contiguous finished host clusters leave together, and several writes are in flight', () => {
  /** Finishes the clusters while the first two writes are held; returns the writes that follow. */
  async function queued(clusterSize: number, clusters: readonly number[], partial: readonly number[] = []) {
    const storage = recordingStorage({ alignment: Math.min(4096, clusterSize) });
    const cache = CompressedWriteCache.create(storage, clusterSize, (clusters.length + 2) * clusterSize);
    storage.hold();
    for (const cluster of [1_000, 2_000, ...clusters]) {
      const at = cluster * clusterSize;
      if (partial.includes(cluster)) {
        cache.setDataEnd(cluster, 100);
        await cache.write(at, payload(100));
      } else {
        await cache.write(at, payload(clusterSize - 1));
        await cache.write(at + clusterSize - 1, payload(1));
      }
    }
    expect(storage.writes.map(({ offset }) => offset / clusterSize)).toEqual([1_000, 2_000]);
    expect(storage.underWay).toHaveLength(2);
    storage.releaseAll();
    await cache.stop();
    return storage.writes
      .slice(2)
      .map(({ offset, buffers }) => [offset / clusterSize, buffers.length] as const);
  }

  test('contiguous clusters that wait together leave as one larger write', async () => {
    expect(await queued(CLUSTER, [5, 6, 7, 8])).toEqual([[5, 4]]);
  });

  test('writes leave in the order in which their first clusters were finished', async () => {
    expect(await queued(CLUSTER, [9, 20, 21, 10, 4, 22])).toEqual([
      [9, 2],
      [20, 3],
      [4, 1],
    ]);
  });

  test('a partly filled cluster is the last of its write', async () => {
    expect(await queued(CLUSTER, [5, 6, 7, 8], [6])).toEqual([
      [5, 2],
      [7, 2],
    ]);
  });

  test('up to 2 MiB in one write', async () => {
    const clusters = Array.from({ length: 70 }, (_, at) => at);
    expect(await queued(CLUSTER, clusters)).toEqual([
      [0, 32],
      [32, 32],
      [64, 6],
    ]);
    expect(await queued(2 * 1024 * 1024, [0, 1])).toEqual([
      [0, 1],
      [1, 1],
    ]);
  });

  test('up to 1024 buffers in one write, the most the system takes', async () => {
    const clusters = Array.from({ length: 1030 }, (_, at) => 10_000 + at);
    expect(await queued(512, clusters)).toEqual([
      [10_000, 1024],
      [11_024, 6],
    ]);
  });

  test('clusters that one call finishes leave as one write, also when both writers are free', async () => {
    const { storage, cache } = makeCache(6);
    const lengths = Array.from({ length: 6 }, () => CLUSTER / 2);
    await cache.writeRun(4 * CLUSTER, lengths, payload(3 * CLUSTER));
    await cache.stop();
    expect(storage.writes.map(({ offset, buffers }) => [offset / CLUSTER, buffers.length])).toEqual([[4, 3]]);
  });

  test('a free writer takes the next clusters at once', async () => {
    const { storage, cache } = makeCache(6);
    storage.hold();
    for (const cluster of [0, 2, 4, 6]) await fill(cache, cluster);
    expect(storage.underWay).toHaveLength(2);
    storage.release(storage.writes[1]);
    await turn();
    expect(clustersOf(storage.underWay)).toEqual([0, 4]);
    storage.releaseAll();
  });
});

describe('14. the cache knows a storage and a cluster size, not qcow2', () => {
  test('modules of src/storage import each other, src/system, arithmetic, errors and Node.js, and nothing else', () => {
    const directory = fileURLToPath(new URL('../../src/storage/', import.meta.url));
    const imports = readdirSync(directory).flatMap((file) =>
      [...readFileSync(directory + file, 'utf8').matchAll(/from '([^']+)'/g)].map(([, target]) => target!),
    );
    expect(imports.length).toBeGreaterThan(10);
    expect(
      imports.filter(
        (target) =>
          !/^(\.\/[a-z-]+\.js|\.\.\/(errors|arithmetic|system\/[a-z-]+)\.js|node:[a-z_/]+)$/.test(target),
      ),
    ).toEqual([]);
  });

  test('four operations on absolute offsets are all it needs', async () => {
    const written: number[] = [];
    const storage: Storage = {
      name: 'bare',
      alignment: 4096,
      write: async (offset) => {
        written.push(offset);
      },
      read: async () => 0,
      sync: async () => {},
    };
    const cache = CompressedWriteCache.create(storage, CLUSTER, CLUSTER);
    await fill(cache, 7);
    await cache.stop();
    expect(written).toEqual([7 * CLUSTER]);
  });
});
