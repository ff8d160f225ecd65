import { readFileSync, writeFileSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { WorkItem } from '../../src/compress/messages.js';
import { WorkerPool } from '../../src/compress/pool.js';
import { useScratch } from '../e2e/scratch.js';
import { turn } from '../storage/promise-state.js';

const scratch = useScratch();
const SETUP = {
  output: 'clusters',
  clusterSize: 512,
  itemSize: 65_536,
  compressor: undefined,
  inflate: [],
  passthrough: false,
  keepZeros: false,
  sparseSize: 4096,
  subclusters: false,
  salvage: false,
  readAlignment: 1,
} as const;
const pools: WorkerPool[] = [];

/** @param more told to the worker besides its setup */
function start(
  worker: string,
  threads: number,
  slots = 2 * threads + 2,
  more: object = {},
  arrivals = false,
): WorkerPool {
  const entry = new URL(`./workers/${worker}.mjs`, import.meta.url);
  const names = new Map([[7, 'disk.raw']]);
  const setup = { ...SETUP, ...more };
  const pool = new WorkerPool(entry, threads, slots, setup, (descriptor) => names.get(descriptor), arrivals);
  pools.push(pool);
  return pool;
}

const item = (slot: number, at = slot): WorkItem => ({
  segments: [{ kind: 'data', at, length: 512, descriptor: 7, offset: 0 }],
  clusters: 1,
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
  const { length } = threads;
  // A thread that has ended has no number any more; none may be started in its place.
  await vi.waitFor(() => expect(threads.map(({ threadId }) => threadId)).toEqual(new Array(length).fill(-1)));
  await turn();
  process.off('unhandledRejection', noteRejection);
  process.off('worker', noteThread);
  expect(threads.splice(0).length).toBe(length);
  expect(unhandled.splice(0)).toEqual([]);
});

describe('a pool', () => {
  test('hands out the slot that the worker filled, for more items than threads', async () => {
    const pool = start('answers', 2, 8);
    for (const round of [0, 100]) {
      const packed = Array.from({ length: 8 }, (_, slot) => pool.pack(item(slot, slot + round), 0));
      for (const [slot, { sizes, bytes }] of (await Promise.all(packed)).entries()) {
        expect([...sizes]).toEqual([16]);
        expect(bytes.length).toBe(SETUP.itemSize);
        expect([...bytes.subarray(0, 17)]).toEqual([...new Array(16).fill(slot + round), 0]);
      }
    }
  });

  test('hands an item of a stream over in the memory of its slot, before and after others', async () => {
    const pool = start('takes-arrivals', 2, 4, {}, true);
    for (const round of [1, 2]) {
      const packed = [3, 0, 1, 2].map((slot) => {
        const memory = pool.arrivalSlot(slot);
        expect(memory.length).toBe(SETUP.itemSize);
        memory.fill(16 * round + slot);
        return pool.findRuns(item(slot), 0);
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

  test('begins items in the order they were given, for the oldest is the one that is waited for', async () => {
    const pool = start('counts', 1, 12);
    const packed = await Promise.all(Array.from({ length: 12 }, (_, slot) => pool.pack(item(slot), slot)));
    expect(packed.map(({ sizes }) => sizes[0])).toEqual(packed.map((_, index) => index));
  });

  test('can be closed in the middle of items that never end, and at once', async () => {
    const pool = start('never-answers', 2);
    const packed = [0, 1, 2, 3].map((slot) => pool.pack(item(slot), slot));
    const ends = Promise.allSettled(packed);
    await turn();
    await pool.close();
    for (const end of await ends) {
      expect(end).toMatchObject({ status: 'rejected', reason: { code: 'ERR_WORKER' } });
    }
    await start('answers', 3).close();
  });
});

describe('a failed read', () => {
  const failing = (failure: object): WorkItem => ({
    segments: failure as unknown as WorkItem['segments'],
    clusters: 1,
    length: 512,
    slot: 0,
  });

  test('is an error with the file’s name, the offset in it and the system’s reason', async () => {
    const pool = start('reports-failures', 1);
    const failure = {
      kind: 'read',
      descriptor: 7,
      offset: 4096,
      errno: -5,
      code: 'EIO',
      message: 'EIO: i/o error',
    };
    await expect(pool.pack(failing(failure), 0)).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_IO',
        file: 'disk.raw',
        offset: 4096,
        systemCode: 'EIO',
        message: expect.stringMatching(/^Could not read 'disk\.raw' at offset 4096: \w/),
      }),
    );
  });

  test('that came short is a changed source, with what was expected and what is there', async () => {
    const pool = start('reports-failures', 1);
    const failure = { kind: 'short', descriptor: 7, offset: 512, expected: 4096, found: 100 };
    await expect(pool.pack(failing(failure), 0)).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_SOURCE_CHANGED',
        file: 'disk.raw',
        offset: 512,
        expected: 4096,
        found: 100,
        message: expect.stringContaining('4096 bytes were expected at offset 512, 100 are there'),
      }),
    );
  });

  test('of a damaged payload names the cluster on the disk and the payload in the file', async () => {
    const pool = start('reports-failures', 1);
    const failure = { kind: 'corrupt', descriptor: 7, offset: 777, at: 512, message: 'it is broken' };
    await expect(pool.pack(failing(failure), 2 ** 40)).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_CORRUPT',
        file: 'disk.raw',
        offset: 777,
        message:
          'Compressed cluster at guest offset 1099511628288 cannot be read: it is broken ' +
          "(payload at offset 777 of 'disk.raw')",
      }),
    );
  });

  test('that was salvaged comes with the answer: where on the disk, and why', async () => {
    const pool = start('salvages', 1);
    const failure = { kind: 'short', descriptor: 7, offset: 512, expected: 4096, found: 100 };
    const { unreadable, bytes } = await pool.pack(failing(failure), 2 ** 40);
    expect(bytes.length).toBe(SETUP.itemSize);
    expect(unreadable).toEqual([
      {
        ...{ guestOffset: 2 ** 40 + 1024, length: 4096 },
        error: expect.objectContaining({ code: 'ERR_SOURCE_CHANGED', file: 'disk.raw' }),
      },
    ]);
  });

  test('leaves the worker ready for the next item', async () => {
    const pool = start('reports-failures', 1);
    const failure = { kind: 'short', descriptor: 8, offset: 512, expected: 4096, found: 100 };
    for (const _ of [1, 2, 3]) {
      await expect(pool.pack(failing(failure), 0)).rejects.toThrow("'the source' became shorter");
    }
  });
});

test('closing keeps the process going until all threads have loaded: they do not by themselves', async () => {
  const pool = start('answers', 2);
  await turn();
  const calls = threads.map((thread) => ({
    ref: vi.spyOn(thread, 'ref').mock.invocationCallOrder,
    terminate: vi.spyOn(thread, 'terminate').mock.invocationCallOrder,
  }));
  await pool.close();
  expect(calls.length).toBe(2);
  for (const { ref, terminate } of calls) expect(ref[0]).toBeLessThan(terminate[0]!);
});

describe('a worker that', () => {
  const workerError = (offset: number, reason: RegExp) =>
    expect.objectContaining({
      code: 'ERR_WORKER',
      offset,
      message: expect.stringMatching(
        new RegExp(`^A worker failed at guest offset ${offset}: .*${reason.source}`, reason.flags),
      ),
      cause: expect.objectContaining({ message: expect.stringMatching(reason) }),
    });

  test.each([
    ['throws', 'throws', /the engine is broken/],
    ['ends its thread', 'exits', /exited with code: 3/],
    ['runs out of memory', 'runs-out-of-memory', /memory limit/],
    ['cannot be loaded', 'throws-at-load', /the engine is not installed/],
    ['ends its thread while it is loaded', 'exits-at-load', /exited with code: 3/],
    ['is not there', 'missing', /missing\.mjs/],
  ])('%s fails its items with guest offset and cause', async (_, worker, reason) => {
    const pool = start(worker, 2);
    const packed = await Promise.allSettled([0, 1, 2, 3].map((slot) => pool.pack(item(slot), slot * 65_536)));
    expect(packed).toEqual(
      packed.map((__, slot) => ({ status: 'rejected', reason: workerError(slot * 65_536, reason) })),
    );
  });

  test.each([
    ['cannot be loaded', 'throws-at-load', /the engine is not installed/],
    ['ends its thread while it is loaded', 'exits-at-load', /exited with code: 3/],
  ])('%s before there is work fails what comes later', async (_, worker, reason) => {
    const loads = scratch(`${worker}.loads`);
    writeFileSync(loads, '');
    const pool = start(worker, 1, 4, { loads });
    // It is gone before the first item comes, and none takes its place.
    await vi.waitFor(() => expect(threads.map(({ threadId }) => threadId)).toEqual([-1]), 20_000);
    for (let count = 0; count < 50; count += 1) await turn();
    expect(readFileSync(loads, 'utf8')).toBe('x');
    await expect(pool.pack(item(0), 1024)).rejects.toThrow(workerError(1024, reason));
    await expect(pool.pack(item(1), 2048)).rejects.toThrow(workerError(2048, reason));
  });
});
