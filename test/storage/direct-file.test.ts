/** The direct file on real file systems: a disk, memory, and the device that is always full. */
import * as fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { CACHE_MODES, type CacheMode } from '../../src/storage/cache-mode.js';
import { CompressedWriteCache } from '../../src/storage/compressed-write-cache.js';
import { DirectFile } from '../../src/storage/direct-file.js';
import { alignedMemory, DIRECT_ALIGNMENT } from '../../src/system/aligned-memory.js';
import { useScratch } from '../e2e/scratch.js';
import { expectSameBytes, payload } from './recording-storage.js';

const scratch = useScratch();
const { O_CREAT, O_EXCL, O_DIRECT, O_DSYNC } = fs.constants;
const CREATE = O_CREAT | O_EXCL;

/** Aligned memory with `blocks` blocks of bytes that differ. */
function blocks(count: number, seed = 1): Uint8Array {
  const memory = alignedMemory(count * DIRECT_ALIGNMENT).subarray(0, count * DIRECT_ALIGNMENT);
  memory.set(payload(memory.length, seed));
  return memory;
}

/** The flags with which a descriptor was opened, from the system. */
function flagsOf(fd: number): number {
  const [, octal] = /^flags:\s+(\d+)$/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
  return Number.parseInt(octal ?? '', 8);
}

describe('on a disk', () => {
  test('vectors of aligned buffers are written and read with O_DIRECT', async () => {
    const path = scratch('vectors');
    const file = await DirectFile.open(path, 'the target', 'none', CREATE);
    expect(flagsOf(file.fd) & O_DIRECT).toBe(O_DIRECT);
    expect(file.alignment).toBe(DIRECT_ALIGNMENT);
    await Promise.all([
      file.write(0, [blocks(2, 1), blocks(1, 2)]),
      file.write(5 * DIRECT_ALIGNMENT, [blocks(3, 3)]),
    ]);
    const expected = new Uint8Array(8 * DIRECT_ALIGNMENT);
    expected.set(blocks(2, 1));
    expected.set(blocks(1, 2), 2 * DIRECT_ALIGNMENT);
    expected.set(blocks(3, 3), 5 * DIRECT_ALIGNMENT);
    const into = blocks(8);
    expect(await file.read(0, into)).toBe(into.length);
    expectSameBytes(into, expected);
    expectSameBytes(fs.readFileSync(path), expected);
    expect([file.writeCalls, file.writtenBytes]).toEqual([2, 6 * DIRECT_ALIGNMENT]);
    expect([file.cacheMode, file.directRefused, file.name]).toEqual(['none', undefined, 'the target']);
    await file.close();
  });

  test('more buffers than the system takes at once are written', async () => {
    const file = await DirectFile.open(scratch('many'), 'many', 'none', CREATE);
    const memory = blocks(1500);
    const buffers = Array.from({ length: 1500 }, (_, at) =>
      memory.subarray(at * DIRECT_ALIGNMENT, (at + 1) * DIRECT_ALIGNMENT),
    );
    await file.write(0, buffers);
    expectSameBytes(fs.readFileSync(scratch('many')), memory);
    await file.close();
  });

  test('a read at the end of the file is short, and leaves the rest of the buffer unchanged', async () => {
    const file = await DirectFile.open(scratch('short'), 'short', 'none', CREATE);
    await file.write(0, [blocks(1)]);
    await file.truncate(1000);
    const into = blocks(2, 9);
    expect(await file.read(0, into)).toBe(1000);
    expectSameBytes(into.subarray(0, 1000), payload(1000));
    expect(await file.read(DIRECT_ALIGNMENT, into)).toBe(0);
    await file.close();
  });

  test.each<[CacheMode, boolean, boolean]>([
    ['none', true, false],
    ['directsync', true, true],
    ['writethrough', false, true],
    ['writeback', false, false],
    ['unsafe', false, false],
  ])('mode %s: O_DIRECT %s, every write durable %s', async (mode, direct, durable) => {
    const file = await DirectFile.open(scratch(`mode-${mode}`), 'x', mode, CREATE);
    const flags = flagsOf(file.fd);
    expect([(flags & O_DIRECT) !== 0, (flags & O_DSYNC) !== 0]).toEqual([direct, durable]);
    expect(file.alignment).toBe(direct ? DIRECT_ALIGNMENT : 1);
    expect(file.cacheMode).toBe(mode);
    await file.write(0, [blocks(1)]);
    await file.sync();
    await file.close();
    expectSameBytes(fs.readFileSync(scratch(`mode-${mode}`)), payload(DIRECT_ALIGNMENT));
  });

  test('the length can be set, up and down', async () => {
    const path = scratch('length');
    const file = await DirectFile.open(path, 'x', 'none', CREATE);
    await file.write(0, [blocks(2)]);
    for (const length of [5000, 512, 100_000, 0]) {
      await file.truncate(length);
      expect(fs.statSync(path).size).toBe(length);
    }
    await file.close();
  });

  test('a second close does nothing, and all later calls fail', async () => {
    const file = await DirectFile.open(scratch('closed'), 'the target', 'writeback', CREATE);
    await file.close();
    await file.close();
    const refused = { code: 'ERR_IO', message: expect.stringContaining("'the target'") };
    await expect(file.write(0, [payload(1)])).rejects.toMatchObject(refused);
    await expect(file.read(0, new Uint8Array(1))).rejects.toMatchObject(refused);
    await expect(file.sync()).rejects.toMatchObject(refused);
    await expect(file.truncate(0)).rejects.toMatchObject(refused);
  });

  test('writing nothing calls nothing', async () => {
    const file = await DirectFile.open(scratch('nothing'), 'x', 'none', CREATE);
    await file.write(0, []);
    expect(file.writeCalls).toBe(0);
    await file.close();
  });
});

describe('in memory (tmpfs)', () => {
  test.each(CACHE_MODES)('mode %s writes and reads, at any offset when buffered', async (mode) => {
    const path = `/dev/shm/qcow2c-test-${process.pid}-${mode}`;
    const file = await DirectFile.open(path, 'x', mode, CREATE);
    try {
      expect([1, DIRECT_ALIGNMENT]).toContain(file.alignment);
      await file.write(0, [blocks(2, 1)]);
      const into = blocks(2, 2);
      expect(await file.read(0, into)).toBe(into.length);
      expectSameBytes(into, payload(into.length, 1));
      if (file.alignment === 1) {
        await file.write(3, [payload(5, 7), payload(4, 8)]);
        const few = new Uint8Array(9);
        expect(await file.read(3, few)).toBe(9);
        expect(few).toEqual(new Uint8Array([...payload(5, 7), ...payload(4, 8)]));
      }
    } finally {
      await file.close();
      fs.rmSync(path);
    }
  });
});

describe('errors', () => {
  test('a missing file cannot be opened', async () => {
    await expect(DirectFile.open(scratch('missing'), 'the target', 'none')).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'ENOENT',
      file: 'the target',
      message: "Could not open 'the target': No such file or directory",
    });
  });

  test('an existing file cannot be created', async () => {
    fs.writeFileSync(scratch('there'), 'kept');
    await expect(DirectFile.open(scratch('there'), 'the target', 'none', CREATE)).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'EEXIST',
      message: "Could not create 'the target': File already exists",
    });
    expect(fs.readFileSync(scratch('there'), 'utf8')).toBe('kept');
  });

  test('a full device refuses O_DIRECT, is written buffered, and the error has length and offset', async () => {
    const file = await DirectFile.open('/dev/full', 'the target', 'none');
    expect([file.alignment, file.cacheMode, file.directRefused]).toEqual([
      1,
      'writeback',
      'the file system refuses O_DIRECT',
    ]);
    await expect(file.write(8192, [payload(4000), payload(96)])).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'ENOSPC',
      file: 'the target',
      offset: 8192,
      expected: 4096,
      message: "Could not write 4096 bytes to 'the target' at offset 8192: No space left on device",
    });
    await expect(file.truncate(5)).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'EINVAL',
      expected: 5,
      message: "Could not set the length of 'the target' to 5: Invalid argument",
    });
    await expect(file.sync()).rejects.toMatchObject({
      systemCode: 'EINVAL',
      message: "Could not sync 'the target': Invalid argument",
    });
    await file.close();
  });

  test('through the write cache they persist, with offset and length', async () => {
    const file = await DirectFile.open('/dev/full', 'the target', 'none');
    const cache = CompressedWriteCache.create(file, 65536, 2 * 65536);
    await cache.write(3 * 65536, payload(5000));
    cache.setDataEnd(3, 5000);
    const failure = {
      systemCode: 'ENOSPC',
      message: "Could not write 8192 bytes to 'the target' at offset 196608: No space left on device",
    };
    await expect(cache.stop()).rejects.toMatchObject(failure);
    await expect(cache.write(0, payload(1))).rejects.toMatchObject(failure);
    await expect(cache.flush()).rejects.toMatchObject(failure);
    await file.close();
  });
});
