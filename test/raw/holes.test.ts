import { closeSync, openSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { canFindHoles, HoleFinder } from '../../src/raw/holes.js';
import { useScratch } from '../e2e/scratch.js';
import { makeSparseDisk, TIB } from '../e2e/source-images.js';

const path = useScratch();
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

type Seek = (descriptor: number, offset: number, whence: number) => number;

/** Stands before lseek: counts the calls and can refuse them as a file system may. */
const seek = vi.hoisted(() => ({
  calls: [] as [number, number][],
  refuse: undefined as ((offset: number, whence: number) => string | undefined) | undefined,
}));
vi.mock('fs-ext', async (original) => {
  const actual = await original<{ default: { seekSync: Seek } }>();
  const seekSync: Seek = (descriptor, offset, whence) => {
    seek.calls.push([offset, whence]);
    const code = seek.refuse?.(offset, whence);
    if (code !== undefined) throw Object.assign(new Error(code), { code, errno: -22 });
    return actual.default.seekSync(descriptor, offset, whence);
  };
  return { default: { seekSync }, seekSync };
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
  seek.refuse = undefined;
});
afterEach(() => closeSync(descriptor));

describe('with lseek', () => {
  test('holes can be found', async () => {
    expect(await canFindHoles()).toBe(true);
  });

  test('the next data is found from a hole, from its start, from its middle, and none in the last hole', () => {
    const first = { start: 64 * KIB, end: 128 * KIB };
    const second = { start: 512 * KIB, end: 640 * KIB };
    expect(finder.nextData(0, SIZE)).toEqual(first);
    expect(finder.nextData(64 * KIB, SIZE)).toEqual(first);
    expect(finder.nextData(100 * KIB + 1, SIZE)).toEqual({ ...first, start: 100 * KIB + 1 });
    expect(finder.nextData(128 * KIB, SIZE)).toEqual(second);
    expect(finder.nextData(640 * KIB, SIZE)).toBeUndefined();
    expect(finder.nextData(SIZE - 1, SIZE)).toBeUndefined();
    expect(finder.nextData(SIZE + 5000, SIZE)).toBeUndefined();
  });

  test('data that reaches past the size asked for is cut, and data behind it is none', () => {
    expect(finder.nextData(0, 70 * KIB)).toEqual({ start: 64 * KIB, end: 70 * KIB });
    expect(finder.nextData(0, 64 * KIB)).toBeUndefined();
  });

  test('a file that ends with data has a data range that ends with the file, to the byte', async () => {
    const file = path('full.raw');
    await writeFile(file, Buffer.alloc(10_001, 7));
    const full = openSync(file, 'r');
    const found = (await HoleFinder.open(full, file)).nextData(0, 10_001);
    closeSync(full);
    expect(found).toEqual({ start: 0, end: 10_001 });
  });

  test('offsets past 4 GiB are exact', async () => {
    const file = path('large.raw');
    await makeSparseDisk(file, 5 * TIB, [[4 * TIB + 4096, Buffer.alloc(4096, 1)]]);
    const large = openSync(file, 'r');
    const wide = await HoleFinder.open(large, file);
    const found = wide.nextData(8192, 5 * TIB);
    const end = wide.end();
    closeSync(large);
    expect(found).toEqual({ start: 4 * TIB + 4096, end: 4 * TIB + 8192 });
    expect(end).toBe(5 * TIB);
  });

  test('the end is the size', () => {
    expect(finder.end()).toBe(statSync(path('disk.raw')).size);
  });
});

describe('a file system that refuses', () => {
  test.each(['EINVAL', 'ENOTSUP'])('with %s has no holes, and is asked once', (code) => {
    seek.refuse = () => code;
    for (const offset of [0, 4096, SIZE - 1]) {
      expect(finder.nextData(offset, SIZE)).toEqual({ start: offset, end: SIZE });
    }
    expect(seek.calls).toEqual([[0, SEEK_DATA]]);
  });

  test('SEEK_HOLE alone has no holes either', () => {
    seek.refuse = (_, whence) => (whence === SEEK_HOLE ? 'EINVAL' : undefined);
    expect(finder.nextData(0, SIZE)).toEqual({ start: 0, end: SIZE });
    expect(finder.nextData(10, SIZE)).toEqual({ start: 10, end: SIZE });
  });

  test('with another error is an error with file, offset and reason', () => {
    seek.refuse = () => 'EIO';
    expect(() => finder.nextData(4096, SIZE)).toThrow(
      expect.objectContaining({
        code: 'ERR_IO',
        systemCode: 'EIO',
        file: path('disk.raw'),
        offset: 4096,
        message: expect.stringContaining(`'${path('disk.raw')}' at offset 4096: `),
      }),
    );
  });
});
