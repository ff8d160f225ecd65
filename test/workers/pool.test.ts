import { readFileSync, writeFileSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { closeWorkers, startIdleThreads } from '../../src/workers/idle-threads.js';
import type { CompressClusters, CompressionItem } from '../../src/workers/messages/compression.js';
import type { FindRuns } from '../../src/workers/messages/runs.js';
import type { AnyTask } from '../../src/workers/messages/thread.js';
import { WorkerPool } from '../../src/workers/pool.js';
import { useScratch } from '../e2e/scratch.js';
import { turn } from '../storage/promise-state.js';
import { compressionSetupOf } from './worker-setup.js';

/** Threads that the system still starts. */
const system = vi.hoisted(() => ({ room: Number.POSITIVE_INFINITY }));
vi.mock(import('../../src/workers/worker-thread.js'), async (original) => {
  const { WorkerThread } = await original();
  return {
    WorkerThread: class extends WorkerThread {
      constructor(entry: URL) {
        system.room -= 1;
        if (system.room < 0) throw Object.assign(new Error('EAGAIN'), { code: 'ERR_WORKER_INIT_FAILED' });
        super(entry);
      }
    },
  };
});

const scratch = useScratch();
const SETUP = compressionSetupOf(512, 65_536);
type Pool<Task extends AnyTask = CompressClusters> = WorkerPool<Task>;
const pools: { close(): Promise<void> }[] = [];

const entryOf = (worker: string) => new URL(`./threads/${worker}.mjs`, import.meta.url);

/** @param more further fields of the worker's setup */
function start<Task extends AnyTask = CompressClusters>(
  worker: string,
  threads: number,
  slots = 2 * threads + 2,
  more: object = {},
  arrivals = false,
): Pool<Task> {
  const workerEntry = entryOf(worker);
  const names = new Map([[7, 'disk.raw']]);
  const setup = { ...SETUP, ...more } as Task['setup'];
  const fileOf = (descriptor: number) => names.get(descriptor);
  const pool = new WorkerPool<Task>({ workerEntry, threads, slots, setup, fileOf, arrivals });
  pools.push(pool);
  return pool;
}

const item = (slot: number, at = slot): CompressionItem => ({
  segments: [{ kind: 'data', at, length: 512, descriptor: 7, offset: 0 }],
  length: 512,
  slot,
});

const unhandled: unknown[] = [];
const noteRejection = (reason: unknown) => void unhandled.push(reason);
const threads: Worker[] = [];
const noteThread = (thread: Worker) => void threads.push(thread);
beforeEach(() => {
  process.on('unhandledRejection', noteRejection);
  process.on('worker', noteThread);
});
afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.close();
  await closeWorkers();
  system.room = Number.POSITIVE_INFINITY;
  vi.unstubAllEnvs();
  const { length } = threads;
  // An ended thread has no number. No thread may be started in its place.
  await vi.waitFor(() => expect(threads.map(({ threadId }) => threadId)).toEqual(new Array(length).fill(-1)));
  await turn();
  process.off('unhandledRejection', noteRejection);
  process.off('worker', noteThread);
  expect(threads.splice(0).length).toBe(length);
  expect(unhandled.splice(0)).toEqual([]);
});

describe('a pool', () => {
  test('returns the slot that the worker filled, for more items than threads', async () => {
    const pool = start('answers', 2, 8);
    for (const round of [0, 100]) {
      const packed = Array.from({ length: 8 }, (_, slot) => pool.run(item(slot, slot + round), 0));
      for (const [slot, { sizes, bytes }] of (await Promise.all(packed)).entries()) {
        expect([...sizes]).toEqual([16]);
        expect(bytes.length).toBe(SETUP.itemSize);
        expect([...bytes.subarray(0, 17)]).toEqual([...new Array(16).fill(slot + round), 0]);
      }
    }
  });

  test('passes an item of a stream in the memory of its slot, before and after others', async () => {
    const pool = start<FindRuns>('takes-arrivals', 2, 4, {}, true);
    for (const round of [1, 2]) {
      const packed = [3, 0, 1, 2].map((slot) => {
        const memory = pool.arrivalSlot(slot);
        expect(memory.length).toBe(SETUP.itemSize);
        memory.fill(16 * round + slot);
        return pool.run(item(slot), 0);
      });
      for (const { runs, bytes } of await Promise.all(packed)) {
        expect([...runs]).toEqual([0, SETUP.itemSize]);
        expect(bytes.every((byte) => byte === bytes[0])).toBe(true);
        expect(bytes[0]! >> 4).toBe(round);
      }
    }
    expect(() => start('answers', 1).arrivalSlot(0)).toThrow(
      expect.objectContaining({ code: 'ERR_INTERNAL' }),
    );
  });

  test('starts items in order, because the caller waits for the oldest', async () => {
    const counter = new Int32Array(new SharedArrayBuffer(4));
    const pool = start('counts', 1, 12, { counter });
    const packed = await Promise.all(Array.from({ length: 12 }, (_, slot) => pool.run(item(slot), slot)));
    expect(packed.map(({ sizes }) => sizes[0])).toEqual(packed.map((_, index) => index));
  });

  test('gives a thread its next item early, so that it need not wait for the main thread', async () => {
    const counter = new Int32Array(new SharedArrayBuffer(4));
    const pool = start('counts', 1, 4, { counter });
    await pool.run(item(0), 0);
    const packed = [1, 2].map((slot) => pool.run(item(slot), slot));
    const end = performance.now() + 10_000;
    // The main thread does nothing else meanwhile.
    while (Atomics.load(counter, 0) < 3 && performance.now() < end);
    expect(Atomics.load(counter, 0)).toBe(3);
    await Promise.all(packed);
  });

  test('keeps the process alive until a thread has ended, also if that throws once more', async () => {
    const pool = start('answers', 1);
    await pool.run(item(0), 0);
    const [thread] = threads.slice(-1) as [Worker];
    const unref = vi.spyOn(thread, 'unref');
    const terminate = thread.terminate.bind(thread);
    vi.spyOn(thread, 'terminate').mockImplementationOnce(() => {
      unref.mockClear();
      const ended = terminate();
      thread.emit('error', new Error('broken'));
      return ended;
    });
    await pool.close();
    await closeWorkers();
    expect(thread.terminate).toHaveBeenCalled();
    expect(unref).not.toHaveBeenCalled();
  });

  test('rejects waiting items when it is closed, and can be closed at once', async () => {
    const pool = start('answers', 3);
    const ends = Promise.allSettled([0, 1, 2, 3].map((slot) => pool.run(item(slot), slot)));
    await pool.close();
    for (const end of await ends) {
      expect(end).toMatchObject({ status: 'rejected', reason: { code: 'ERR_WORKER' } });
    }
    await start('answers', 3).close();
  });

  test('terminates threads whose items do not end in time', async () => {
    const begun = new Int32Array(new SharedArrayBuffer(4));
    const pool = start('never-answers', 2, 6, { begun });
    const ends = Promise.allSettled([0, 1, 2, 3].map((slot) => pool.run(item(slot), slot)));
    await vi.waitFor(() => expect(begun[0]).toBe(2), 20_000);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const closing = pool.close();
      await vi.advanceTimersByTimeAsync(60_000);
      await closing;
    } finally {
      vi.useRealTimers();
    }
    for (const end of await ends) {
      expect(end).toMatchObject({ status: 'rejected', reason: { code: 'ERR_WORKER' } });
    }
    expect(threads.map(({ threadId }) => threadId)).toEqual([-1, -1]);
  });
});

describe('the threads of a pool', () => {
  const use = async (pool: Pool, at = 1) => {
    const packed = await Promise.all([0, 1, 2, 3].map((slot) => pool.run(item(slot, at), 0)));
    expect(packed.map(({ bytes }) => bytes[0])).toEqual([at, at, at, at]);
    await pool.close();
  };

  test('serve the next one with its setup; only missing threads are started', async () => {
    const counter = new Int32Array(new SharedArrayBuffer(4));
    await use(start('answers', 2), 1);
    await use(start('answers', 1), 2);
    await use(start('answers', 3), 3);
    await use(start('answers', 2, 6, { itemSize: 4096 }), 4);
    expect(threads.length).toBe(3);
    await start('counts', 1, 6, { counter }).close();
    expect(threads.length).toBe(4);
  });

  test('may have been started before it', async () => {
    startIdleThreads(entryOf('answers'), 2);
    await use(start('answers', 3));
    expect(threads.length).toBe(3);
  });

  test('end without a pool, also while they are loaded', async () => {
    startIdleThreads(entryOf('answers'), 2);
    await closeWorkers();
    expect(threads.map(({ threadId }) => threadId)).toEqual([-1, -1]);
  });

  test('are not shared by pools that are open at the same time', async () => {
    for (const _ of [1, 2]) await Promise.all([1, 2].map((at) => use(start('answers', 2), at)));
    expect(threads.length).toBe(4);
  });

  test('are kept when the pool is closed in the middle of an item', async () => {
    for (const _ of [1, 2, 3]) {
      const begun = new Int32Array(new SharedArrayBuffer(4));
      const pool = start('until-cancelled', 2, 6, { begun });
      const ends = Promise.allSettled([0, 1, 2, 3].map((slot) => pool.run(item(slot), slot)));
      await vi.waitFor(() => expect(begun[0]).toBe(2), 20_000);
      await pool.close();
      expect((await ends).map(({ status }) => status)).toEqual(new Array(4).fill('rejected'));
    }
    expect(threads.length).toBe(2);
  });

  test('release their pool before the next one uses them', async () => {
    const said = new Int32Array(new SharedArrayBuffer(8));
    const pool = start('counts-releases', 2, 6, { said });
    await pool.run(item(0), 0);
    await pool.close();
    expect([...said]).toEqual([2, 2]);
    await start('counts-releases', 1, 6, { said }).close();
    expect([...said]).toEqual([3, 3]);
  });

  test.each([
    ['one of them threw', 'throws'],
    ['one of them ended', 'exits'],
  ])('are all ended when %s', async (_, worker) => {
    const pool = start(worker, 2);
    await expect(pool.run(item(0), 0)).rejects.toThrow(expect.objectContaining({ code: 'ERR_WORKER' }));
    await pool.close();
    expect(threads.map(({ threadId }) => threadId)).toEqual([-1, -1]);
  });

  test('are not reused after they ended while idle', async () => {
    await use(start('answers', 2));
    await threads[0]!.terminate();
    await use(start('answers', 2));
    expect(threads.length).toBe(3);
  });

  test('use the same memory for the next one', async () => {
    const memory = new Set<unknown>();
    for (const slots of [4, 4, 4]) {
      const pool = start('answers', 1, slots);
      memory.add((await pool.run(item(0), 0)).bytes.buffer);
      await pool.close();
    }
    expect(memory.size).toBe(1);
  });
});

describe('where the system starts few threads, a pool', () => {
  test('works with fewer threads, and reports the reason', async () => {
    system.room = 2;
    const pool = start('answers', 4, 10);
    expect(pool.threads).toBe(2);
    expect(pool.threadsRefused).toMatchObject({ code: 'ERR_IO', systemCode: 'EAGAIN' });
    const packed = Array.from({ length: 10 }, (_, slot) => pool.run(item(slot), 0));
    expect((await Promise.all(packed)).length).toBe(10);
    await pool.close();
    // The threads were given back: the next pool uses them and starts none.
    system.room = 0;
    const next = start('answers', 4, 10);
    expect(next.threads).toBe(2);
    await next.run(item(0), 0);
  });

  test('fails without any thread, and leaves nothing behind', async () => {
    system.room = 0;
    startIdleThreads(entryOf('answers'), 1);
    const refused = { code: 'ERR_IO', systemCode: 'EAGAIN' };
    expect(() => start('answers', 4)).toThrow(expect.objectContaining(refused));
    expect(() => start('answers', 4)).toThrow(
      /^Could not start a worker thread \(.+\): Resource temporarily/,
    );
    system.room = 1;
    await start('answers', 4).run(item(0), 0);
  });
});

describe('a failed read', () => {
  const failing = (failure: object): CompressionItem => ({
    segments: failure as unknown as CompressionItem['segments'],
    length: 512,
    slot: 0,
  });

  test('is an error with the file’s name, the offset in it and the system’s reason', async () => {
    const pool = start('reports-failures', 1);
    const failure = {
      kind: 'read',
      descriptor: 7,
      offset: 4096,
      at: 512,
      errno: -5,
      code: 'EIO',
      message: 'EIO: i/o error',
    };
    await expect(pool.run(failing(failure), 2 ** 40)).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_IO',
        file: 'disk.raw',
        offset: 4096,
        guestOffset: 2 ** 40 + 512,
        systemCode: 'EIO',
        message: expect.stringMatching(/^Could not read 'disk\.raw' at offset 4096: \w/),
      }),
    );
  });

  test('that was short is a changed source, with expected and actual length', async () => {
    const pool = start('reports-failures', 1);
    const failure = { kind: 'short', descriptor: 7, offset: 512, at: 1024, expected: 4096, found: 100 };
    await expect(pool.run(failing(failure), 2 ** 40)).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_SOURCE_CHANGED',
        file: 'disk.raw',
        offset: 512,
        guestOffset: 2 ** 40 + 1024,
        expected: 4096,
        found: 100,
        message: expect.stringContaining('4096 bytes were expected at offset 512, 100 are there'),
      }),
    );
  });

  test('of a damaged payload names the cluster on the disk and the payload in the file', async () => {
    const pool = start('reports-failures', 1);
    const failure = { kind: 'corrupt', descriptor: 7, offset: 777, at: 512, message: 'it is broken' };
    await expect(pool.run(failing(failure), 2 ** 40)).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_CORRUPT',
        file: 'disk.raw',
        offset: 777,
        guestOffset: 2 ** 40 + 512,
        message:
          'Compressed cluster at guest offset 1099511628288 cannot be read: it is broken ' +
          "(payload at offset 777 of 'disk.raw')",
      }),
    );
  });

  test('that was salvaged is part of the answer, with guest offset and reason', async () => {
    const pool = start('salvages', 1);
    const failure = { kind: 'short', descriptor: 7, offset: 512, expected: 4096, found: 100 };
    const { unreadable, bytes } = await pool.run(failing(failure), 2 ** 40);
    expect(bytes.length).toBe(SETUP.itemSize);
    expect(unreadable).toEqual([
      {
        ...{ guestOffset: 2 ** 40 + 1024, length: 4096 },
        error: expect.objectContaining({ code: 'ERR_SOURCE_CHANGED', file: 'disk.raw' }),
      },
    ]);
  });

  test('of a file without a name has neither file nor offset, and leaves the worker ready for the next item', async () => {
    const pool = start('reports-failures', 1);
    const failure = { kind: 'short', descriptor: 8, offset: 512, expected: 4096, found: 100 };
    for (const _ of [1, 2, 3]) {
      await expect(pool.run(failing(failure), 4096)).rejects.toThrow(
        expect.objectContaining({
          message: expect.stringMatching(/^the source became shorter .* at offset 512/),
          file: undefined,
          offset: undefined,
          guestOffset: 4096,
        }),
      );
    }
  });
});

describe('a worker that', () => {
  const workerError = (offset: number, reason: RegExp) =>
    expect.objectContaining({
      code: 'ERR_WORKER',
      guestOffset: offset,
      message: expect.stringMatching(
        new RegExp(`^A worker failed at guest offset ${offset}: .*${reason.source}`, reason.flags),
      ),
      cause: expect.objectContaining({ message: expect.stringMatching(reason) }),
    });

  test.each([
    ['throws', 'throws', /the engine is broken/],
    ['ends its thread', 'exits', /exited with code: 3/],
    ['runs out of memory', 'runs-out-of-memory', /memory limit/],
    ['fails at its setup', 'throws-at-setup', /the engine is not installed/],
    ['is missing', 'missing', /missing\.mjs/],
  ])('%s fails its items with guest offset and cause', async (_, worker, reason) => {
    const pool = start(worker, 2);
    const packed = await Promise.allSettled([0, 1, 2, 3].map((slot) => pool.run(item(slot), slot * 65_536)));
    expect(packed).toEqual(
      packed.map((__, slot) => ({ status: 'rejected', reason: workerError(slot * 65_536, reason) })),
    );
  });

  test.each([
    ['cannot be loaded', 'throws-at-load', /the engine is not installed/],
    ['ends its thread while it is loaded', 'exits-at-load', /exited with code: 3/],
  ])('%s before the first item fails later items', async (_, worker, reason) => {
    const loads = scratch(`${worker}.loads`);
    writeFileSync(loads, '');
    vi.stubEnv('WORKER_LOADS', loads);
    const pool = start(worker, 1);
    // It ends before the first item arrives, and no thread replaces it.
    await vi.waitFor(() => expect(threads.map(({ threadId }) => threadId)).toEqual([-1]), 20_000);
    for (let count = 0; count < 50; count += 1) await turn();
    expect(readFileSync(loads, 'utf8')).toBe('x');
    await expect(pool.run(item(0), 1024)).rejects.toThrow(workerError(1024, reason));
    await expect(pool.run(item(1), 2048)).rejects.toThrow(workerError(2048, reason));
  });
});
