import * as fs from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import koffi from 'koffi';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Segment } from '../../src/compress/messages.js';
import { SegmentError, SegmentReader } from '../../src/compress/segment-reader.js';
import { alignedMemory } from '../../src/storage/aligned-memory.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes } from '../e2e/source-images.js';

/** What the system answers to a read, so that a test can answer instead. */
vi.mock('node:fs', async (original) => {
  const actual = await original<typeof import('node:fs')>();
  const readSync = vi.fn(actual.readSync);
  return { ...actual, readSync, default: { ...actual, readSync } };
});
type Read = (fd: number, into: Uint8Array, at: number, length: number, offset: number) => number;
const actualRead = (await vi.importActual<typeof import('node:fs')>('node:fs')).readSync as Read;
const answerReads = (read: Read) =>
  vi
    .mocked(fs.readSync)
    .mockReset()
    .mockImplementation(read as typeof fs.readSync);

const scratch = useScratch();
const file = scratch('disk.raw');
const SIZE = 300_001;
const CONTENT = randomBytes(SIZE);
const ITEM = 65_536;
let descriptor: number;
/** Full of bytes of the item before. */
let item: Uint8Array;

beforeEach(async () => {
  await writeFile(file, CONTENT);
  descriptor = fs.openSync(file, 'r');
  item = alignedMemory(ITEM).subarray(0, ITEM).fill(0xdd);
});
afterEach(() => {
  fs.closeSync(descriptor);
  answerReads(actualRead);
});

const segment = (at: number, length: number, offset: number): Segment => ({ at, length, descriptor, offset });

/** What `read` throws into the worker's answer. */
function failureOf(read: () => void) {
  try {
    read();
  } catch (error) {
    if (error instanceof SegmentError) return error.failure;
    throw error;
  }
  throw new Error('nothing failed');
}

describe('an item', () => {
  test('gets the segments’ bytes and zeros between them, with aligned reads, for any segments', () => {
    const pieces = fc.array(
      fc.record({
        gap: fc.oneof(fc.constant(0), fc.constant(4096), fc.integer({ min: 0, max: 9000 })),
        length: fc.oneof(fc.constant(4096), fc.constant(512), fc.integer({ min: 1, max: 9000 })),
        offset: fc.oneof(fc.constant(8192), fc.integer({ min: 0, max: SIZE - 9000 })),
      }),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(pieces, fc.constantFrom(1, 512, 4096), (list, alignment) => {
        let end = 0;
        const segments = list.flatMap(({ gap, length, offset }) => {
          const at = end + gap;
          if (at + length > ITEM) return [];
          end = at + length;
          return [segment(at, length, offset)];
        });
        answerReads((fd, into, at, length, offset) => {
          const numbers = [offset, length, Number(koffi.address(into) % BigInt(alignment))];
          expect(numbers.map((number) => number % alignment)).toEqual([0, 0, 0]);
          return actualRead(fd, into, at, length, offset);
        });
        item.fill(0xdd);
        new SegmentReader(alignment).read(segments, item);
        const expected = Buffer.alloc(ITEM);
        for (const { at, length, offset } of segments) CONTENT.copy(expected, at, offset, offset + length);
        expect(Buffer.compare(item, expected)).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  test('without segments is zeros', () => {
    new SegmentReader(1).read([], item);
    expect(item.every((byte) => byte === 0)).toBe(true);
  });

  test('of whole blocks is read in place, in one read', () => {
    new SegmentReader(4096).read([segment(4096, 16_384, 8192)], item);
    expect(vi.mocked(fs.readSync).mock.calls.length).toBe(1);
    const [, into, , length, offset] = vi.mocked(fs.readSync).mock.calls[0] as unknown as Parameters<Read>;
    expect([koffi.address(into) - koffi.address(item), length, offset]).toEqual([4096n, 16_384, 8192]);
  });

  test('ends with the file’s last bytes, past the page cache too', () => {
    const direct = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_DIRECT);
    const last = { ...segment(0, 40_001, SIZE - 40_001), descriptor: direct };
    new SegmentReader(4096).read([last], item);
    fs.closeSync(direct);
    expect(Buffer.compare(item.subarray(0, 40_001), CONTENT.subarray(SIZE - 40_001))).toBe(0);
    expect(item[40_001]).toBe(0);
  });

  test.each([1, 4096])('is whole although the system moves a little at a time, alignment %i', (alignment) => {
    let interruptions = 0;
    answerReads((fd, into, at, length, offset) => {
      interruptions += 1;
      if (interruptions % 3 === 1) throw Object.assign(new Error('EINTR'), { code: 'EINTR' });
      if (interruptions % 3 === 2) throw Object.assign(new Error('EAGAIN'), { code: 'EAGAIN' });
      return actualRead(fd, into, at, Math.min(length, 4096), offset);
    });
    new SegmentReader(alignment).read([segment(0, 20_000, 4096), segment(20_480, 8192, 16_384)], item);
    expect(Buffer.compare(item.subarray(0, 20_000), CONTENT.subarray(4096, 24_096))).toBe(0);
    expect(Buffer.compare(item.subarray(20_480, 28_672), CONTENT.subarray(16_384, 24_576))).toBe(0);
  });
});

describe('a file that became shorter', () => {
  test.each([
    // In place: nothing, a part, nothing behind a part.
    [segmentAt(0, 8192), 0, 1, { offset: 0, expected: 8192, found: 0 }],
    [segmentAt(4096, 8192), 8192, 1, { offset: 4096, expected: 8192, found: 4096 }],
    [segmentAt(4096, 8192), 5000, 4096, { offset: 4096, expected: 8192, found: 904 }],
    // Through the bounce: the read begins where its block begins.
    [segmentAt(4196, 8000), 6000, 4096, { offset: 4096, expected: 8100, found: 1904 }],
    [segmentAt(4196, 8000), 0, 4096, { offset: 4096, expected: 8100, found: 0 }],
  ])('%o cut to %i bytes, alignment %i, is short by %o', async (where, length, alignment, facts) => {
    await truncate(file, length);
    const failure = failureOf(() => new SegmentReader(alignment).read([{ ...where, descriptor }], item));
    expect(failure).toEqual({ kind: 'short', descriptor, ...facts });
  });

  test('is short past the page cache too', async () => {
    const direct = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_DIRECT);
    for (const length of [20_000, 4096, 100, 0]) {
      await truncate(file, length);
      const failure = failureOf(() =>
        new SegmentReader(4096).read([{ ...segment(0, ITEM, 0), descriptor: direct }], item),
      );
      expect(failure).toEqual({
        kind: 'short',
        descriptor: direct,
        offset: 0,
        expected: ITEM,
        found: length,
      });
    }
    fs.closeSync(direct);
  });
});

function segmentAt(offset: number, length: number) {
  return { at: 0, length, offset };
}

test('a read that fails is told in plain data with the offset that failed', () => {
  answerReads((fd, into, at, length, offset) => {
    if (offset >= 8192) throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO', errno: -5 });
    return actualRead(fd, into, at, Math.min(length, 4096), offset);
  });
  const failure = failureOf(() => new SegmentReader(1).read([segment(100, 16_384, 0)], item));
  expect(structuredClone(failure)).toEqual({
    kind: 'read',
    descriptor,
    offset: 8192,
    errno: -5,
    code: 'EIO',
    message: 'EIO: i/o error, read',
  });
});
