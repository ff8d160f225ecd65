/** Holes and preallocation on a real disk, and the rate limit of a file. */
import * as fs from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { DirectFile } from '../../src/storage/direct-file.js';
import { type Clock, RateLimit } from '../../src/storage/rate-limit.js';
import { alignedMemory, DIRECT_ALIGNMENT } from '../../src/system/aligned-memory.js';
import { useScratch } from '../e2e/scratch.js';
import { stateOf } from '../storage/promise-state.js';
import { expectSameBytes, payload } from '../storage/recording-storage.js';

const scratch = useScratch();
const CREATE = fs.constants.O_CREAT | fs.constants.O_EXCL;
const BLOCK = DIRECT_ALIGNMENT;
const MIB = 1024 * 1024;
let path = '';

beforeEach(({ task }) => {
  path = scratch(task.id);
});

/** Bytes that the file takes on the disk. */
const allocated = () => fs.statSync(path).blocks * 512;

function blocks(count: number, seed = 1): Uint8Array {
  const memory = alignedMemory(count * BLOCK).subarray(0, count * BLOCK);
  memory.set(payload(memory.length, seed));
  return memory;
}

describe.each(['none', 'writeback'] as const)('mode %s', (mode) => {
  test('a hole reads as zeros, takes no space, and keeps length and adjacent bytes', async () => {
    const file = await DirectFile.open(path, 'x', mode, CREATE);
    await file.write(0, [blocks(256)]);
    await file.sync();
    const before = allocated();
    expect(await file.punch(BLOCK, 254 * BLOCK)).toBe(true);
    expect(await file.punch(255 * BLOCK, 1024 * BLOCK)).toBe(true);
    expectSameBytes(fs.readFileSync(path), payload(256 * BLOCK).fill(0, BLOCK));
    expect(allocated()).toBeLessThan(before - 200 * BLOCK);
    await file.close();
  });

  test('preallocation takes the space, lengthens the file with zeros, and changes no byte', async () => {
    const file = await DirectFile.open(path, 'x', mode, CREATE);
    await file.write(8 * BLOCK, [blocks(2)]);
    await file.allocate(0, MIB);
    const expected = new Uint8Array(MIB);
    expected.set(payload(2 * BLOCK), 8 * BLOCK);
    expectSameBytes(fs.readFileSync(path), expected);
    expect(allocated()).toBeGreaterThanOrEqual(MIB);
    await file.allocate(0, 0);
    await file.close();
  });
});

test('a preallocation that the system refuses is an error with length, file and reason', async () => {
  const file = await DirectFile.open(path, 'the target', 'none', CREATE);
  await expect(file.allocate(0, 2 ** 52)).rejects.toMatchObject({
    code: 'ERR_IO',
    systemCode: 'EFBIG',
    file: 'the target',
    message: `Could not preallocate ${2 ** 52} bytes of 'the target': File too large`,
  });
  await file.close();
});

test('a closed file frees and allocates nothing', async () => {
  const file = await DirectFile.open(path, 'the target', 'none', CREATE);
  await file.close();
  expect(await file.punch(0, BLOCK)).toBe(false);
  await expect(file.allocate(0, BLOCK)).rejects.toMatchObject({ code: 'ERR_IO', systemCode: 'EBADF' });
});

test('a device that cannot free blocks refuses a hole', async () => {
  const file = await DirectFile.open('/dev/full', '/dev/full', 'writeback');
  expect(await file.punch(0, BLOCK)).toBe(false);
  await file.close();
});

describe('a rate limit', () => {
  /** Time stands still: after the first write every other one waits. */
  const stopped: Clock = {
    now: () => 0,
    sleep: (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      }),
  };

  async function limited(limit: RateLimit, signal?: AbortSignal): Promise<DirectFile> {
    const file = await DirectFile.open(path, 'x', 'none', CREATE);
    file.limitRate(limit, signal);
    return file;
  }

  test('delays writes, and is shared by its files', async () => {
    const limit = new RateLimit(1, stopped);
    const first = await limited(limit);
    path += '-second';
    const second = await limited(limit);
    await first.write(0, [blocks(1)]);
    const waiting = second.write(0, [blocks(1)]);
    expect(await stateOf(waiting)).toBe('waiting');
    expect(second.writeCalls).toBe(0);
    await Promise.all([first.close(), second.close()]);
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });

  test('ends the waits at once when the signal aborts or the file is closed', async () => {
    const ending = new AbortController();
    const file = await limited(new RateLimit(1, stopped), ending.signal);
    await file.write(0, [blocks(1)]);
    const waiting = file.write(BLOCK, [blocks(1)]);
    expect(await stateOf(waiting)).toBe('waiting');
    ending.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(fs.statSync(path).size).toBe(BLOCK);
    await file.close();
  });

  test('with a signal that never aborts ends the waits when the file is closed', async () => {
    const file = await limited(new RateLimit(1, stopped), new AbortController().signal);
    await file.write(0, [blocks(1)]);
    const waiting = file.write(BLOCK, [blocks(1)]);
    const closing = file.close();
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await closing;
  });
});
