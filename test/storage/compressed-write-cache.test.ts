/**
 * The operations of the compressed write cache one by one: their effects and errors. The numbered promises of
 * docs/write-cache.md have their own file.
 */
import { describe, expect, test } from 'vitest';
import { CompressedWriteCache } from '../../src/storage/compressed-write-cache.js';
import { stateOf, turn } from './promise-state.js';
import { expectSameBytes, payload, type RecordingStorage, useRecordingStorage } from './recording-storage.js';
import { CLUSTER, fill, makeSmallCache } from './small-cache.js';

const recordingStorage = useRecordingStorage();

/** A cache with slots for `slots` host clusters, over its own storage by default. */
function makeCache(slots: number, storage: RecordingStorage = recordingStorage()) {
  return makeSmallCache(slots, storage);
}

/** The offsets and lengths of all writes so far. */
const writesTo = (storage: RecordingStorage) => storage.writes.map(({ offset, length }) => [offset, length]);

describe('create', () => {
  test.each([1, CLUSTER - 1, -CLUSTER, Number.NaN, Number.POSITIVE_INFINITY])(
    'refuses a cache of %d bytes',
    (cacheSize) => {
      expect(() => CompressedWriteCache.create(recordingStorage(), CLUSTER, cacheSize)).toThrow(RangeError);
    },
  );

  test('refuses a cache larger than the available memory at once, not at the first write', () => {
    expect(() => CompressedWriteCache.create(recordingStorage(), CLUSTER, 2 ** 45)).toThrow(RangeError);
  });

  test('refuses host clusters that are not a multiple of the alignment', () => {
    expect(() => CompressedWriteCache.create(recordingStorage(), 2048, 2048)).toThrow(RangeError);
  });

  test('accepts a cache of one host cluster and counts only whole ones', async () => {
    const storage = recordingStorage();
    const cache = CompressedWriteCache.create(storage, CLUSTER, 2 * CLUSTER - 1);
    await cache.write(0, payload(10));
    expect(await stateOf(cache.write(CLUSTER, payload(10)))).toBe('waiting');
  });
});

describe('create with 0 bytes, the bypass', () => {
  test('sends every write straight through', async () => {
    const storage = recordingStorage({ alignment: 1 });
    const { cache } = makeCache(0, storage);
    await cache.write(100, payload(50));
    await cache.write(CLUSTER - 10, payload(30, 2));
    expect(writesTo(storage)).toEqual([
      [100, 50],
      [CLUSTER - 10, 10],
      [CLUSTER, 20],
    ]);
    expect(storage.bytes(CLUSTER - 10, 30)).toEqual(payload(30, 2));
  });

  test('completes blocks of an aligned storage and keeps the other bytes in them', async () => {
    const storage = recordingStorage({ background: 0xee });
    storage.readsExpected = true;
    const { cache } = makeCache(0, storage);
    storage.preset(0, new Uint8Array(2 * CLUSTER).fill(0xdd));
    await Promise.all([
      cache.write(100, payload(50)),
      cache.write(150, payload(60, 2)),
      cache.write(CLUSTER - 10, payload(30, 3)),
    ]);
    expect(storage.bytes(99, 112)).toEqual(new Uint8Array([0xdd, ...payload(50), ...payload(60, 2), 0xdd]));
    expect(storage.bytes(CLUSTER - 11, 32)).toEqual(new Uint8Array([0xdd, ...payload(30, 3), 0xdd]));
  });

  test('knows no data ends, holds nothing, and has nothing to flush', async () => {
    const { storage, cache } = makeCache(0);
    cache.setDataEnd(3, 100);
    cache.setDataEnd(3, 50);
    await cache.drop(3);
    await cache.flush();
    await cache.stop();
    cache.free();
    expect(storage.writes).toEqual([]);
  });

  test('writes nothing more after a failed write, not even earlier requests', async () => {
    const storage = recordingStorage({ alignment: 1 });
    const { cache } = makeCache(0, storage);
    const error = new Error('no space');
    storage.failNth(0, error);
    const calls = [cache.write(0, payload(10)), cache.write(10, payload(10)), cache.write(20, payload(10))];
    for (const outcome of await Promise.allSettled(calls)) expect(outcome).toMatchObject({ reason: error });
    expect(storage.writes).toHaveLength(1);
    await expect(cache.write(30, payload(10))).rejects.toBe(error);
    await expect(cache.flush()).rejects.toBe(error);
    await expect(cache.stop()).rejects.toBe(error);
    expect(storage.writes).toHaveLength(1);
  });
});

describe('write', () => {
  test.each([
    ['no bytes', 0, 0],
    ['a whole host cluster', 0, CLUSTER],
    ['a negative offset', -1, 10],
    ['half a byte', 0.5, 10],
    ['an offset that is not a safe integer', 2 ** 53, 10],
  ])('refuses %s with a RangeError', async (_, offset, length) => {
    const { cache } = makeCache(1);
    const refused = {
      name: 'RangeError',
      message: `a compressed cluster of ${length} bytes at offset ${offset}`,
    };
    await expect(cache.write(offset, payload(length))).rejects.toMatchObject(refused);
    expect(() => cache.free()).not.toThrow();
  });

  test('has copied the bytes when it resolves', async () => {
    const { storage, cache } = makeCache(1);
    const bytes = payload(100);
    await cache.write(0, bytes);
    bytes.fill(0);
    await cache.flush();
    expect(storage.bytes(0, 100)).toEqual(payload(100));
  });

  test('that spans two host clusters is split into independent parts', async () => {
    const { storage, cache } = makeCache(2);
    await fill(cache, 0, 0, CLUSTER - 100);
    await cache.write(CLUSTER - 100, payload(300, 9));
    await turn();
    expect(writesTo(storage)).toEqual([[0, CLUSTER]]);
    expect(storage.bytes(CLUSTER - 100, 100)).toEqual(payload(300, 9).subarray(0, 100));
    await cache.stop();
    expect(storage.bytes(CLUSTER, 200)).toEqual(payload(300, 9).subarray(100));
  });

  test('that spans two host clusters waits for the second slot while the first part is written', async () => {
    const { storage, cache } = makeCache(1);
    await fill(cache, 0, 0, CLUSTER - 100);
    storage.hold();
    const spanning = cache.write(CLUSTER - 100, payload(300, 9));
    expect(await stateOf(spanning)).toBe('waiting');
    storage.releaseAll();
    await spanning;
    await cache.stop();
    expect(storage.bytes(CLUSTER - 100, 300)).toEqual(payload(300, 9));
  });

  test('that spans two host clusters fills the second when only the first has to wait', async () => {
    const { storage, cache } = makeCache(1);
    await cache.write(CLUSTER + 200, payload(100, 8));
    const spanning = cache.write(CLUSTER - 100, payload(300, 9));
    expect(await stateOf(spanning)).toBe('waiting');
    cache.setDataEnd(1, 300);
    await spanning;
    await cache.stop();
    expect(storage.bytes(CLUSTER - 100, 400)).toEqual(
      new Uint8Array([...payload(300, 9), ...payload(100, 8)]),
    );
  });

  test('that spans two host clusters is refused as a whole if either part is', async () => {
    const { storage, cache } = makeCache(2);
    await cache.write(CLUSTER - 5, payload(2));
    await expect(cache.write(CLUSTER - 10, payload(16))).rejects.toThrow('some are filled already');
    await cache.flush();
    expect(writesTo(storage)).toHaveLength(1);
  });

  test('waits while the cache is full; waiting writes get slots in order', async () => {
    const { cache } = makeCache(1);
    await cache.write(0, payload(10));
    const second = cache.write(5 * CLUSTER, payload(10));
    const third = cache.write(2 * CLUSTER, payload(10));
    const alsoSecond = cache.write(5 * CLUSTER + 10, payload(10));
    await cache.drop(0);
    expect(await stateOf(second)).toBe('resolved');
    expect(await stateOf(alsoSecond)).toBe('resolved');
    expect(await stateOf(third)).toBe('waiting');
    cache.setDataEnd(5, 20);
    await third;
  });

  test('that comes when a slot has just become free does not overtake waiting writes', async () => {
    const { cache } = makeCache(1);
    await cache.write(0, payload(10));
    const waiting = cache.write(CLUSTER, payload(10));
    const dropped = cache.drop(0);
    const later = cache.write(2 * CLUSTER, payload(10));
    await dropped;
    expect(await stateOf(waiting)).toBe('resolved');
    expect(await stateOf(later)).toBe('waiting');
  });

  test('into a host cluster that has a slot does not wait, because it may free that slot', async () => {
    const { cache } = makeCache(1);
    await fill(cache, 0, 0, CLUSTER - 10);
    const waiting = cache.write(CLUSTER, payload(10));
    expect(await stateOf(waiting)).toBe('waiting');
    await cache.write(CLUSTER - 10, payload(10));
    await waiting;
  });

  test('waits for ever when a cache is full of unfinished host clusters, until one is dropped', async () => {
    const { storage, cache } = makeCache(2);
    await cache.write(0, payload(10));
    await cache.write(CLUSTER, payload(10));
    const waiting = cache.write(2 * CLUSTER, payload(10));
    await cache.flush();
    expect(await stateOf(waiting)).toBe('waiting');
    await cache.drop(1);
    await waiting;
    expect(writesTo(storage)).toHaveLength(2);
  });
});

describe('read', () => {
  const joined = async (alignment: number) => {
    const storage = recordingStorage({ alignment });
    storage.readsExpected = true;
    storage.preset(0, new Uint8Array(CLUSTER).fill(0xaa));
    const { cache } = makeCache(3, storage);
    await cache.write(CLUSTER + 100, payload(200, 1));
    await cache.write(3 * CLUSTER, payload(50, 2));
    const expected = new Uint8Array(4 * CLUSTER);
    expected.fill(0xaa, 0, CLUSTER);
    expected.set(payload(200, 1), CLUSTER + 100);
    expected.set(payload(50, 2), 3 * CLUSTER);
    return { storage, cache, expected };
  };

  test.each([1, 512, 4096])('joins the cache and a storage of alignment %d', async (alignment) => {
    const { storage, cache, expected } = await joined(alignment);
    for (const [offset, length] of [
      [0, 4 * CLUSTER],
      [0, 1],
      [CLUSTER - 1, 2],
      [CLUSTER + 99, 3],
      [CLUSTER + 150, 500],
      [3 * CLUSTER + 7, 43],
      [2 * CLUSTER + 1, CLUSTER + 5],
      [CLUSTER + 4095, 2],
      [5, 0],
      [0, 0],
    ] as const) {
      expectSameBytes(await cache.read(offset, length), expected.subarray(offset, offset + length));
    }
    expect(storage.writes).toEqual([]);
  });

  test('returns zeros past the end', async () => {
    const { cache } = await joined(4096);
    expect(await cache.read(100 * CLUSTER + 3, 5000)).toEqual(new Uint8Array(5000));
  });

  test('finds bytes that are being written', async () => {
    const { storage, cache } = await joined(4096);
    storage.hold();
    cache.setDataEnd(3, 50);
    expect(storage.underWay).toHaveLength(1);
    expect(await cache.read(3 * CLUSTER, 50)).toEqual(payload(50, 2));
    storage.releaseAll();
  });

  test('finds bytes that are written while it waits for the storage', async () => {
    const turns: (() => void)[] = [];
    const storage = recordingStorage({ delay: () => new Promise<void>((resolve) => turns.push(resolve)) });
    storage.readsExpected = true;
    const { cache } = makeCache(1, storage);
    await cache.write(0, payload(50));
    const reading = cache.read(0, 60);
    cache.setDataEnd(0, 50);
    expect(storage.underWay).toHaveLength(1);
    turns[1]?.();
    await turn();
    expect(storage.writes[0]?.state).toBe('done');
    turns[0]?.();
    expect(await reading).toEqual(new Uint8Array([...payload(50), ...new Uint8Array(10)]));
  });

  test('is the same before a flush and after it, for any bytes in the storage', async () => {
    const storage = recordingStorage();
    storage.readsExpected = true;
    storage.preset(0, new Uint8Array(CLUSTER).fill(0xee));
    const { cache } = makeCache(1, storage);
    await cache.write(100, payload(200));
    const before = await cache.read(0, CLUSTER);
    await cache.flush();
    expectSameBytes(await cache.read(0, CLUSTER), before);
    expectSameBytes(storage.bytes(0, CLUSTER), before);
  });

  test('rejects with the storage’s read error', async () => {
    const storage = recordingStorage({ delay: () => Promise.reject(new Error('bad sector')) });
    storage.readsExpected = true;
    await expect(makeCache(1, storage).cache.read(0, 10)).rejects.toThrow('bad sector');
  });
});

describe('setDataEnd', () => {
  test.each([-1, CLUSTER + 1, 1.5, Number.NaN])('refuses an end of %d', (end) => {
    expect(() => makeCache(1).cache.setDataEnd(0, end)).toThrow('outside host cluster 0');
  });

  test('may be set once for a host cluster', async () => {
    const { cache } = makeCache(1);
    await cache.write(0, payload(10));
    cache.setDataEnd(0, 100);
    expect(() => cache.setDataEnd(0, 100)).toThrow('set twice');
    expect(() => cache.setDataEnd(0, 200)).toThrow('set twice');
  });

  test('refuses an end below the filled bytes, and the host cluster is unchanged', async () => {
    const { storage, cache } = makeCache(1);
    await cache.write(0, payload(100));
    expect(() => cache.setDataEnd(0, 99)).toThrow('below its filled bytes');
    expect(storage.writes).toEqual([]);
    cache.setDataEnd(0, 100);
    expect(writesTo(storage)).toEqual([[0, 4096]]);
  });

  test('on a boundary applies to the given host cluster, not the next one', async () => {
    const { storage, cache } = makeCache(2);
    await fill(cache, 0, 0, CLUSTER - 1);
    cache.setDataEnd(0, CLUSTER);
    await cache.write(CLUSTER - 1, payload(100));
    expect(writesTo(storage)).toEqual([[0, CLUSTER]]);
    await fill(cache, 1, 99);
    expect(writesTo(storage)).toEqual([
      [0, CLUSTER],
      [CLUSTER, CLUSTER],
    ]);
  });

  test('for a host cluster that has left has no effect', async () => {
    const { storage, cache } = makeCache(1);
    await fill(cache, 0);
    await turn();
    cache.setDataEnd(0, CLUSTER);
    await fill(cache, 1);
    await cache.stop();
    cache.free();
    expect(storage.writes).toHaveLength(2);
  });

  test('of 0 refuses all bytes, even of a write that waits for a slot', async () => {
    const { cache } = makeCache(1);
    cache.setDataEnd(1, 0);
    await expect(cache.write(CLUSTER, payload(1))).rejects.toThrow('its data ends at 0');
    await cache.write(0, payload(10));
    const refused = cache.write(2 * CLUSTER, payload(10));
    cache.setDataEnd(2, 0);
    await cache.drop(0);
    await expect(refused).rejects.toThrow('its data ends at 0');
    await cache.drop(2);
    await cache.write(3 * CLUSTER, payload(10));
  });

  test('while a flush writes the host cluster finishes it without a second write', async () => {
    const { storage, cache } = makeCache(1);
    await cache.write(0, payload(10));
    storage.hold();
    const flushed = cache.flush();
    cache.setDataEnd(0, 10);
    storage.releaseAll();
    await flushed;
    await cache.write(CLUSTER, payload(10));
    expect(writesTo(storage)).toEqual([[0, 4096]]);
  });

  test('after a flush has written every byte frees the slot without a second write', async () => {
    const { storage, cache } = makeCache(1);
    await cache.write(0, payload(10));
    await cache.flush();
    const waiting = cache.write(CLUSTER, payload(10));
    cache.setDataEnd(0, 10);
    await waiting;
    expect(writesTo(storage)).toEqual([[0, 4096]]);
  });
});

describe('flush', () => {
  test('resolves when all bytes accepted before it are written', async () => {
    const { storage, cache } = makeCache(4);
    storage.hold();
    await fill(cache, 0);
    await cache.write(CLUSTER, payload(10, 1));
    await cache.write(7 * CLUSTER, payload(10, 7));
    const flushed = cache.flush();
    expect(await stateOf(flushed)).toBe('waiting');
    storage.release(storage.writes[0]);
    storage.release(storage.writes[1]);
    expect(await stateOf(flushed)).toBe('waiting');
    storage.releaseAll();
    await flushed;
    expect(storage.bytes(CLUSTER, 10)).toEqual(payload(10, 1));
    expect(storage.bytes(7 * CLUSTER, 10)).toEqual(payload(10, 7));
    expect(storage.underWay).toEqual([]);
  });

  test('waits for an earlier flush that writes the same bytes', async () => {
    const { storage, cache } = makeCache(1);
    await cache.write(0, payload(10));
    storage.hold();
    const first = cache.flush();
    const second = cache.flush();
    expect(await stateOf(second)).toBe('waiting');
    storage.releaseAll();
    await Promise.all([first, second]);
    expect(storage.writes).toHaveLength(1);
  });

  test('does not delay writes to host clusters that are not being written', async () => {
    const { storage, cache } = makeCache(5);
    for (let cluster = 0; cluster < 4; cluster += 1) await cache.write(2 * cluster * CLUSTER, payload(10));
    storage.hold();
    const flushed = cache.flush();
    expect(storage.underWay).toHaveLength(2);
    await cache.write(6 * CLUSTER + 10, payload(10, 2));
    await cache.write(9 * CLUSTER, payload(10));
    storage.releaseAll();
    await flushed;
    expect(storage.bytes(6 * CLUSTER, 20)).toEqual(new Uint8Array([...payload(10), ...payload(10, 2)]));
    expect(storage.writes).toHaveLength(4);
  });

  test('does not wait for bytes accepted after it', async () => {
    const { storage, cache } = makeCache(2);
    await cache.write(0, payload(10));
    storage.hold();
    const flushed = cache.flush();
    await fill(cache, 5);
    expect(storage.underWay).toHaveLength(2);
    storage.release(storage.writes[0]);
    await flushed;
    expect(storage.underWay).toHaveLength(1);
    storage.releaseAll();
  });

  test('writes nothing if nothing has changed since the last', async () => {
    const { storage, cache } = makeCache(1);
    await cache.flush();
    await cache.write(0, payload(10));
    await cache.flush();
    await cache.flush();
    expect(storage.writes).toHaveLength(1);
  });

  test('rejects only when no write is in flight any more', async () => {
    const { storage, cache } = makeCache(2);
    const error = new Error('no space');
    await cache.write(0, payload(10));
    await cache.write(5 * CLUSTER, payload(10));
    storage.hold();
    const flushed = cache.flush();
    storage.release(storage.writes[0], { error, taken: 0 });
    expect(await stateOf(flushed)).toBe('waiting');
    storage.releaseAll();
    await expect(flushed).rejects.toBe(error);
  });
});

describe('stop', () => {
  test('flushes, and later writes go straight through', async () => {
    const storage = recordingStorage();
    const { cache } = makeCache(2, storage);
    await cache.write(100, payload(10));
    await cache.stop();
    expect(writesTo(storage)).toEqual([[0, 4096]]);
    storage.readsExpected = true;
    await cache.write(110, payload(10, 2));
    expect(storage.bytes(100, 20)).toEqual(new Uint8Array([...payload(10), ...payload(10, 2)]));
    expect(writesTo(storage)).toHaveLength(2);
    cache.free();
  });

  test('wakes writes that wait for a slot, and they go straight through in their order', async () => {
    const storage = recordingStorage({ alignment: 1 });
    const { cache } = makeCache(1, storage);
    await cache.write(0, payload(10));
    const waiting = [cache.write(3 * CLUSTER, payload(10)), cache.write(2 * CLUSTER, payload(10))];
    await cache.stop();
    await Promise.all(waiting);
    expect(storage.writes.map(({ offset }) => offset)).toEqual([0, 3 * CLUSTER, 2 * CLUSTER]);
  });

  test('delays writes until it has ended, so that none runs beside the last writes of the cache', async () => {
    const storage = recordingStorage({ alignment: 1 });
    const { cache } = makeCache(1, storage);
    await cache.write(0, payload(10));
    storage.hold();
    const stopped = cache.stop();
    const beside = cache.write(10, payload(10, 2));
    const elsewhere = cache.write(CLUSTER, payload(10, 3));
    await turn();
    expect(storage.writes).toHaveLength(1);
    storage.releaseAll();
    await Promise.all([stopped, beside, elsewhere]);
    expect(storage.bytes(0, 20)).toEqual(new Uint8Array([...payload(10), ...payload(10, 2)]));
  });

  test('called twice at once stops once, and a later call does nothing', async () => {
    const { storage, cache } = makeCache(1);
    await cache.write(0, payload(10));
    await Promise.all([cache.stop(), cache.stop()]);
    await cache.stop();
    expect(storage.writes).toHaveLength(1);
  });

  test('leaves the cache unchanged when its flush fails, and each call rejects with the error', async () => {
    const storage = recordingStorage();
    const { cache } = makeCache(2, storage);
    const error = new Error('no space');
    await cache.write(0, payload(10));
    await cache.write(5 * CLUSTER, payload(20));
    storage.failNth(0, error, 5);
    await expect(cache.stop()).rejects.toBe(error);
    storage.readsExpected = true;
    expect(await cache.read(0, 10)).toEqual(payload(10));
    cache.setDataEnd(0, 10);
    expect(await cache.read(0, 10)).toEqual(payload(10));
    await expect(cache.stop()).rejects.toBe(error);
    await expect(cache.write(10, payload(10))).rejects.toBe(error);
    await expect(cache.write(9 * CLUSTER, payload(10))).rejects.toBe(error);
  });

  test('fails when a write straight through has failed since the last stop', async () => {
    const storage = recordingStorage({ alignment: 1 });
    const { cache } = makeCache(1, storage);
    const error = new Error('no space');
    await cache.stop();
    storage.failNth(0, error);
    await expect(cache.write(0, payload(10))).rejects.toBe(error);
    await expect(cache.stop()).rejects.toBe(error);
  });

  test('forgets data ends', async () => {
    const storage = recordingStorage({ alignment: 1 });
    const { cache } = makeCache(1, storage);
    cache.setDataEnd(0, 10);
    await cache.stop();
    await cache.write(0, payload(20));
    expect(writesTo(storage)).toEqual([[0, 20]]);
  });
});

describe('setCacheSize', () => {
  test.each([0, CLUSTER - 1, -1, Number.NaN, 2 ** 45])(
    'refuses %d bytes and keeps the size',
    async (bytes) => {
      const { cache } = makeCache(2);
      expect(() => cache.setCacheSize(bytes)).toThrow(RangeError);
      await cache.write(0, payload(10));
      await cache.write(CLUSTER, payload(10));
      expect(await stateOf(cache.write(2 * CLUSTER, payload(10)))).toBe('waiting');
    },
  );

  test('to more wakes waiting writes in order', async () => {
    const { storage, cache } = makeCache(1);
    await cache.write(0, payload(10, 0));
    const waiting = [1, 2, 3].map((cluster) => cache.write(cluster * CLUSTER, payload(10, cluster)));
    cache.setCacheSize(3 * CLUSTER);
    expect(await Promise.all(waiting.map(stateOf))).toEqual(['resolved', 'resolved', 'waiting']);
    cache.setCacheSize(4 * CLUSTER);
    await Promise.all(waiting);
    await cache.stop();
    for (const cluster of [0, 1, 2, 3]) {
      expect(storage.bytes(cluster * CLUSTER, 10)).toEqual(payload(10, cluster));
    }
  });

  test('to less takes effect as host clusters leave', async () => {
    const { cache } = makeCache(3);
    for (const cluster of [0, 1, 2]) await cache.write(cluster * CLUSTER, payload(10));
    cache.setCacheSize(CLUSTER);
    const waiting = cache.write(3 * CLUSTER, payload(10));
    await cache.drop(0);
    await cache.drop(1);
    expect(await stateOf(waiting)).toBe('waiting');
    cache.setDataEnd(2, 10);
    await waiting;
    expect(await stateOf(cache.write(4 * CLUSTER, payload(10)))).toBe('waiting');
  });

  test('to less and to more again never has more slots than the largest size', async () => {
    const { cache } = makeCache(2);
    cache.setCacheSize(CLUSTER);
    cache.setCacheSize(3 * CLUSTER);
    for (const cluster of [0, 1, 2]) await cache.write(cluster * CLUSTER, payload(10));
    expect(await stateOf(cache.write(3 * CLUSTER, payload(10)))).toBe('waiting');
  });
});

describe('drop', () => {
  test('forgets bytes and data end without writing', async () => {
    const { storage, cache } = makeCache(1);
    await cache.write(0, payload(10));
    cache.setDataEnd(0, 20);
    await cache.drop(0);
    await cache.stop();
    expect(storage.writes).toEqual([]);
  });

  test('makes the host cluster new: its bytes may be written again', async () => {
    const { storage, cache } = makeCache(1);
    await cache.write(0, payload(10));
    cache.setDataEnd(0, 20);
    await cache.drop(0);
    await cache.write(5, payload(30, 2));
    await cache.stop();
    expect(storage.bytes(0, 40)).toEqual(
      new Uint8Array([...new Uint8Array(5), ...payload(30, 2), ...new Uint8Array(5)]),
    );
  });

  test('waits for a write in flight', async () => {
    const { storage, cache } = makeCache(1);
    await cache.write(0, payload(10));
    storage.hold();
    const flushed = cache.flush();
    const dropped = cache.drop(0);
    expect(await stateOf(dropped)).toBe('waiting');
    storage.releaseAll();
    await Promise.all([flushed, dropped]);
    await cache.write(0, payload(10, 2));
    cache.setDataEnd(0, 10);
    await cache.stop();
    expect(storage.bytes(0, 10)).toEqual(payload(10, 2));
  });

  test('removes a queued host cluster, and a flush no longer waits for it', async () => {
    const { storage, cache } = makeCache(3);
    for (const cluster of [0, 2, 4]) await cache.write(cluster * CLUSTER, payload(10));
    storage.hold();
    const flushed = cache.flush();
    await cache.drop(4);
    storage.releaseAll();
    await flushed;
    expect(storage.writes.map(({ offset }) => offset)).toEqual([0, 2 * CLUSTER]);
  });

  test('of a host cluster that is not cached does nothing', async () => {
    await expect(makeCache(1).cache.drop(7)).resolves.toBeUndefined();
  });

  test('of a host cluster whose write waits for a slot does not end the wait', async () => {
    const { storage, cache } = makeCache(1);
    await cache.write(0, payload(10));
    const waiting = cache.write(CLUSTER, payload(10, 2));
    await cache.drop(1);
    expect(await stateOf(waiting)).toBe('waiting');
    await cache.drop(0);
    await waiting;
    await cache.stop();
    expect(storage.bytes(CLUSTER, 10)).toEqual(payload(10, 2));
  });

  test('rejects when the write it waits for fails', async () => {
    const { storage, cache } = makeCache(1);
    const error = new Error('no space');
    await cache.write(0, payload(10));
    storage.hold();
    const flushed = cache.flush();
    const dropped = cache.drop(0);
    storage.release(storage.writes[0], { error, taken: 0 });
    for (const outcome of await Promise.allSettled([flushed, dropped])) {
      expect(outcome).toMatchObject({ reason: error });
    }
  });
});

describe('free', () => {
  test('ends the cache: all later calls are refused', async () => {
    const { cache } = makeCache(1);
    cache.free();
    await expect(cache.write(0, payload(10))).rejects.toThrow('after it was freed');
    await expect(cache.flush()).rejects.toThrow('after it was freed');
    await expect(cache.stop()).rejects.toThrow('after it was freed');
  });
});
