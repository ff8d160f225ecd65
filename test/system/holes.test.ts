import { closeSync, openSync } from 'node:fs';
import * as fsPromises from 'node:fs/promises';
import { writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { HoleFinder } from '../../src/system/holes.js';
import type { Seek } from '../../src/system/seek.js';
import { useScratch } from '../e2e/scratch.js';
import { makeSparseDisk, TIB } from '../e2e/source-images.js';

const path = useScratch();
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const { EINTR, EINVAL, EIO, ENXIO, ENOTSUP } = constants.errno;

/** A mock in front of lseek: it records the calls, and can answer in place of the system. */
const seek = vi.hoisted(() => ({
  calls: [] as ['now' | 'later', number, number][],
  answer: undefined as ((offset: number, whence: number) => number | undefined) | undefined,
}));
vi.mock('../../src/system/seek.js', async (original) => {
  const actual = await original<typeof import('../../src/system/seek.js')>();
  const { now, later, through } = (await actual.loadSeek()) as Seek;
  const answered = (how: 'now' | 'later', offset: number, whence: number) => {
    seek.calls.push([how, offset, whence]);
    return seek.answer?.(offset, whence);
  };
  const watched: Seek = {
    through,
    now: (fd, offset, whence) => answered('now', offset, whence) ?? now(fd, offset, whence),
    later: async (fd, offset, whence) => answered('later', offset, whence) ?? later(fd, offset, whence),
  };
  return { ...actual, loadSeek: async () => watched };
});
vi.mock('node:fs/promises', async (original) => {
  const actual = await original<typeof import('node:fs/promises')>();
  return { ...actual, statfs: vi.fn(actual.statfs) };
});

let descriptor: number;
let finder: HoleFinder;
const KIB = 1024;
const SIZE = 1024 * KIB + 100;

beforeEach(async () => {
  const file = path('disk.raw');
  await makeSparseDisk(file, SIZE, [
    [64 * KIB, Buffer.alloc(64 * KIB, 1)],
    [512 * KIB, Buffer.alloc(128 * KIB, 2)],
  ]);
  descriptor = openSync(file, 'r');
  finder = await HoleFinder.open(descriptor, file);
  seek.calls.length = 0;
  seek.answer = undefined;
});
afterEach(() => closeSync(descriptor));

describe('with lseek', () => {
  test('the next data is found from a hole, from its own start and middle; the last hole has none', async () => {
    const first = { start: 64 * KIB, end: 128 * KIB };
    const second = { start: 512 * KIB, end: 640 * KIB };
    expect(await finder.nextData(0, SIZE)).toEqual(first);
    expect(await finder.nextData(64 * KIB, SIZE)).toEqual(first);
    expect(await finder.nextData(100 * KIB + 1, SIZE)).toEqual({ ...first, start: 100 * KIB + 1 });
    expect(await finder.nextData(128 * KIB, SIZE)).toEqual(second);
    expect(await finder.nextData(640 * KIB, SIZE)).toBeUndefined();
    expect(await finder.nextData(SIZE - 1, SIZE)).toBeUndefined();
    expect(await finder.nextData(SIZE + 5000, SIZE)).toBeUndefined();
  });

  test('data past the given size is cut off', async () => {
    expect(await finder.nextData(0, 70 * KIB)).toEqual({ start: 64 * KIB, end: 70 * KIB });
    expect(await finder.nextData(0, 64 * KIB)).toBeUndefined();
  });

  test('a file that ends with data has a data range that ends with the file, to the byte', async () => {
    const file = path('full.raw');
    await writeFile(file, Buffer.alloc(10_001, 7));
    const full = openSync(file, 'r');
    const found = await (await HoleFinder.open(full, file)).nextData(0, 10_001);
    closeSync(full);
    expect(found).toEqual({ start: 0, end: 10_001 });
  });

  test('offsets past 4 GiB are exact', async () => {
    const file = path('large.raw');
    await makeSparseDisk(file, 5 * TIB, [[4 * TIB + 4096, Buffer.alloc(4096, 1)]]);
    const large = openSync(file, 'r');
    const wide = await HoleFinder.open(large, file);
    const found = await wide.nextData(8192, 5 * TIB);
    closeSync(large);
    expect(found).toEqual({ start: 4 * TIB + 4096, end: 4 * TIB + 8192 });
  });

  test('an interrupted call is made again', async () => {
    let interruptions = 3;
    seek.answer = () => (interruptions-- > 0 ? -EINTR : undefined);
    expect(await finder.nextData(0, SIZE)).toEqual({ start: 64 * KIB, end: 128 * KIB });
  });

  test('a file that was truncated between the two calls has no more data', async () => {
    seek.answer = (_, whence) => (whence === SEEK_HOLE ? -ENXIO : undefined);
    expect(await finder.nextData(0, SIZE)).toBeUndefined();
  });
});

describe('the thread that calls lseek', () => {
  test('is this one if the file system answers from its own tables; its type is read once', async () => {
    vi.mocked(fsPromises.statfs).mockClear();
    vi.mocked(fsPromises.statfs).mockResolvedValueOnce({ type: 0xef53 } as never);
    const local = await HoleFinder.open(descriptor, 'x');
    for (const offset of [0, 256 * KIB]) await local.nextData(offset, SIZE);
    expect(seek.calls.map(([how]) => how)).toEqual(['now', 'now', 'now', 'now']);
    expect(fsPromises.statfs).toHaveBeenCalledTimes(1);
  });

  test.each([
    ['FUSE', async () => ({ type: 0x65735546 })],
    ['NFS', async () => ({ type: 0x6969 })],
    ['an unknown one', async () => ({ type: 1 })],
    ['a system without /proc', async () => Promise.reject(new Error('ENOENT'))],
  ])('is another one for %s', async (_, answer) => {
    vi.mocked(fsPromises.statfs).mockImplementationOnce(answer as never);
    const remote = await HoleFinder.open(descriptor, 'x');
    expect(await remote.nextData(0, SIZE)).toEqual({ start: 64 * KIB, end: 128 * KIB });
    expect(await remote.nextData(700 * KIB, SIZE)).toBeUndefined();
    expect(seek.calls.map(([how]) => how)).toEqual(['later', 'later', 'later']);
  });
});

describe('a file system that refuses', () => {
  test.each([
    ['EINVAL', EINVAL],
    ['ENOTSUP', ENOTSUP],
  ])('with %s has no holes, and is called once', async (_, errno) => {
    seek.answer = () => -errno;
    for (const offset of [0, 4096, SIZE - 1]) {
      expect(await finder.nextData(offset, SIZE)).toEqual({ start: offset, end: SIZE });
    }
    expect(seek.calls).toEqual([[expect.anything(), 0, SEEK_DATA]]);
  });

  test('SEEK_HOLE alone has no holes either', async () => {
    seek.answer = (_, whence) => (whence === SEEK_HOLE ? -EINVAL : undefined);
    expect(await finder.nextData(0, SIZE)).toEqual({ start: 0, end: SIZE });
    expect(await finder.nextData(10, SIZE)).toEqual({ start: 10, end: SIZE });
  });

  test('with another error is an error with file, offset and reason', async () => {
    seek.answer = () => -EIO;
    await expect(finder.nextData(4096, SIZE)).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'EIO',
      file: path('disk.raw'),
      offset: 4096,
      message: `Could not look for holes in '${path('disk.raw')}' at offset 4096: Input/output error`,
    });
  });
});

test('for any answers of a file system, only its reported holes are skipped, and the walk ends', async () => {
  const answers = fc.array(fc.oneof(fc.integer({ min: -1, max: 40 }), fc.constant(undefined)), {
    maxLength: 20,
  });
  await fc.assert(
    fc.asyncProperty(answers, async (list) => {
      const size = 32;
      const broken = await HoleFinder.open(descriptor, 'x');
      const left = [...list];
      // Position n is the answer; -1 stands for an invalid argument, and silence for "nothing more".
      seek.answer = () => {
        const next = left.shift();
        return next === undefined ? -ENXIO : next < 0 ? -EINVAL : next;
      };
      let steps = 0;
      for (let at = 0; at < size; steps += 1) {
        const found = await broken.nextData(at, size);
        if (found === undefined) break;
        expect(found.start).toBeGreaterThanOrEqual(at);
        expect(found.end).toBeGreaterThan(found.start);
        expect(found.end).toBeLessThanOrEqual(size);
        at = found.end;
      }
      expect(steps).toBeLessThanOrEqual(size);
    }),
  );
});
