import * as fs from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import koffi from 'koffi';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { alignedMemory } from '../../src/system/aligned-memory.js';
import type { UnreadableItemRange } from '../../src/workers/item-failure.js';
import { ItemError } from '../../src/workers/item-failure.js';
import type { DataSegment } from '../../src/workers/segments.js';
import {
  type ReaderMemory,
  type ReaderSetup,
  SegmentReader,
} from '../../src/workers/tasks/segment-reader.js';
import type { SplitSegment } from '../../src/workers/tasks/split-segments.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes } from '../e2e/source-images.js';
import { memoryOf } from './worker-setup.js';

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

const segment = (at: number, length: number, offset: number): DataSegment => ({
  kind: 'data',
  ...{ at, length, descriptor, offset },
});

/** Reads into `item`. @returns what became zeros because it could not be read */
function readItem(
  readAlignment: number,
  segments: readonly SplitSegment[],
  { slot = 0, ...more }: Partial<ReaderSetup & ReaderMemory> & { slot?: number } = {},
): UnreadableItemRange[] {
  const setup = { readAlignment, salvage: false, itemSize: ITEM, ...memoryOf(), ...more };
  const unreadable: UnreadableItemRange[] = [];
  new SegmentReader(setup, setup, new Map()).read(segments, slot, item, unreadable);
  return unreadable;
}

/** What `read` throws into the worker's answer. */
function failureOf(read: () => void) {
  try {
    read();
  } catch (error) {
    if (error instanceof ItemError) return error.failure;
    throw error;
  }
  throw new Error('nothing failed');
}

describe('an item', () => {
  test('reads the segments’ bytes and zeros between them, with aligned reads, for any segments', () => {
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
        readItem(alignment, segments);
        const expected = Buffer.alloc(ITEM);
        for (const { at, length, offset } of segments) CONTENT.copy(expected, at, offset, offset + length);
        expect(Buffer.compare(item, expected)).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  test('without segments is zeros', () => {
    readItem(1, []);
    expect(item.every((byte) => byte === 0)).toBe(true);
  });

  test('gets zeros only where they are wanted', () => {
    const wanted = [
      [0, 4096],
      [8192, 12_288],
    ] as const;
    const setup = { readAlignment: 1, salvage: false, itemSize: ITEM, ...memoryOf() };
    new SegmentReader(setup, setup, new Map()).read([segment(1000, 1000, 0)], 0, item, [], wanted);
    const expected = new Uint8Array(ITEM).fill(0xdd);
    for (const [from, to] of wanted) expected.fill(0, from, to);
    expected.set(CONTENT.subarray(0, 1000), 1000);
    expect(Buffer.compare(item, expected)).toBe(0);
  });

  test('of whole blocks is read in place, in one read', () => {
    readItem(4096, [segment(4096, 16_384, 8192)]);
    expect(vi.mocked(fs.readSync).mock.calls.length).toBe(1);
    const [, into, , length, offset] = vi.mocked(fs.readSync).mock.calls[0] as unknown as Parameters<Read>;
    expect([koffi.address(into) - koffi.address(item), length, offset]).toEqual([4096n, 16_384, 8192]);
  });

  test('ends with the file’s last bytes, without the page cache too', () => {
    const direct = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_DIRECT);
    const last = { ...segment(0, 40_001, SIZE - 40_001), descriptor: direct };
    readItem(4096, [last]);
    fs.closeSync(direct);
    expect(Buffer.compare(item.subarray(0, 40_001), CONTENT.subarray(SIZE - 40_001))).toBe(0);
    expect(item[40_001]).toBe(0);
  });

  test.each([1, 4096])('is complete although the system returns short reads, alignment %i', (alignment) => {
    let interruptions = 0;
    answerReads((fd, into, at, length, offset) => {
      interruptions += 1;
      if (interruptions % 3 === 1) throw Object.assign(new Error('EINTR'), { code: 'EINTR' });
      if (interruptions % 3 === 2) throw Object.assign(new Error('EAGAIN'), { code: 'EAGAIN' });
      return actualRead(fd, into, at, Math.min(length, 4096), offset);
    });
    readItem(alignment, [segment(0, 20_000, 4096), segment(20_480, 8192, 16_384)]);
    expect(Buffer.compare(item.subarray(0, 20_000), CONTENT.subarray(4096, 24_096))).toBe(0);
    expect(Buffer.compare(item.subarray(20_480, 28_672), CONTENT.subarray(16_384, 24_576))).toBe(0);
  });
});

test('arrived data is read from its place in the item’s slot', () => {
  const arrivals = new SharedArrayBuffer(3 * ITEM);
  new Uint8Array(arrivals).set(randomBytes(3 * ITEM));
  readItem(4096, [{ kind: 'arrived', at: 512, length: 5000 }], { arrivals, slot: 2 });
  const expected = new Uint8Array(ITEM);
  expected.set(new Uint8Array(arrivals, 2 * ITEM + 512, 5000), 512);
  expect(Buffer.compare(item, expected)).toBe(0);
});

describe('a file that became shorter', () => {
  test.each([
    // In place: nothing, a part, nothing behind a part.
    [segmentAt(0, 8192), 0, 1, { offset: 0, expected: 8192, found: 0 }],
    [segmentAt(4096, 8192), 8192, 1, { offset: 4096, expected: 8192, found: 4096 }],
    [segmentAt(4096, 8192), 5000, 4096, { offset: 4096, expected: 8192, found: 904 }],
    // Through the bounce: the read begins where its block begins, the segment does not.
    [segmentAt(4196, 8000), 6000, 4096, { offset: 4196, expected: 8000, found: 1804 }],
    [segmentAt(4196, 8000), 0, 4096, { offset: 4196, expected: 8000, found: 0 }],
  ])('%o cut to %i bytes, alignment %i, is short by %o', async (where, length, alignment, facts) => {
    await truncate(file, length);
    answerReads((fd, into, at, count, offset) => {
      expect([offset % alignment, count % alignment, into.byteOffset % alignment]).toEqual([0, 0, 0]);
      return actualRead(fd, into, at, count, offset);
    });
    const failure = failureOf(() => readItem(alignment, [{ ...where, descriptor }]));
    expect(failure).toEqual({ kind: 'short', descriptor, at: 0, ...facts });
  });

  test('is short without the page cache too', async () => {
    const direct = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_DIRECT);
    for (const length of [20_000, 4096, 100, 0]) {
      await truncate(file, length);
      const failure = failureOf(() => readItem(4096, [{ ...segment(0, ITEM, 0), descriptor: direct }]));
      expect(failure).toEqual({
        kind: 'short',
        descriptor: direct,
        offset: 0,
        at: 0,
        expected: ITEM,
        found: length,
      });
    }
    fs.closeSync(direct);
  });
});

function segmentAt(offset: number, length: number) {
  return { kind: 'data', at: 0, length, offset } as const;
}

test('a failed read is reported as plain data with the failing offset and its place in the item', () => {
  answerReads((fd, into, at, length, offset) => {
    if (offset >= 8192) throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO', errno: -5 });
    return actualRead(fd, into, at, Math.min(length, 4096), offset);
  });
  const failure = failureOf(() => readItem(1, [segment(100, 16_384, 0)]));
  expect(structuredClone(failure)).toEqual({
    kind: 'read',
    descriptor,
    offset: 8192,
    at: 100 + 8192,
    errno: -5,
    code: 'EIO',
    message: 'EIO: i/o error, read',
  });
});

describe('salvage', () => {
  const salvage = { salvage: true };
  const eio = () => Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO', errno: -5 });

  test('loses only the unreadable blocks of the file, and reports them', () => {
    const places = fc.record({
      bad: fc.uniqueArray(fc.nat(Math.floor(SIZE / 4096)), { maxLength: 5 }),
      at: fc.integer({ min: 0, max: 3000 }),
      length: fc.oneof(fc.constant(40_960), fc.integer({ min: 1, max: 60_000 })),
      offset: fc.oneof(fc.constant(8192), fc.integer({ min: 0, max: SIZE - 60_000 })),
    });
    fc.assert(
      fc.property(places, fc.constantFrom(1, 512, 4096), ({ bad, at, length, offset }, alignment) => {
        answerReads((fd, into, position, count, from) => {
          if (bad.some((block) => block * 4096 < from + count && from < (block + 1) * 4096)) throw eio();
          return actualRead(fd, into, position, count, from);
        });
        item.fill(0xdd);
        const unreadable = readItem(alignment, [segment(at, length, offset)], salvage);
        const expected = Buffer.alloc(ITEM);
        CONTENT.copy(expected, at, offset, offset + length);
        const lost: number[][] = [];
        for (const block of bad.sort((a, b) => a - b)) {
          const from = at + Math.max(0, block * 4096 - offset);
          const to = at + Math.min(length, (block + 1) * 4096 - offset);
          if (from >= to) continue;
          expected.fill(0, from, to);
          if (lost.at(-1)?.[1] === from) lost.at(-1)![1] = to;
          else lost.push([from, to]);
        }
        expect(Buffer.compare(item, expected)).toBe(0);
        expect(unreadable.map((part) => [part.at, part.at + part.length])).toEqual(lost);
        for (const { failure } of unreadable) expect(failure).toMatchObject({ kind: 'read', code: 'EIO' });
      }),
      { numRuns: 150 },
    );
  });

  test('keeps the rest of a file that became shorter', async () => {
    await truncate(file, 20_000);
    const unreadable = readItem(1, [segment(0, 40_000, 8192)], salvage);
    // The block in which the file ends is lost together with the missing bytes.
    const expected = Buffer.alloc(ITEM);
    CONTENT.copy(expected, 0, 8192, 16_384);
    expect(Buffer.compare(item, expected)).toBe(0);
    expect(unreadable).toEqual([
      {
        at: 8192,
        length: 40_000 - 8192,
        failure: { kind: 'short', descriptor, offset: 16_384, at: 8192, expected: 4096, found: 3616 },
      },
    ]);
  });

  test('of a readable file changes nothing and reads nothing twice', () => {
    expect(readItem(4096, [segment(4096, 16_384, 8192)], salvage)).toEqual([]);
    expect(vi.mocked(fs.readSync).mock.calls.length).toBe(1);
  });
});
