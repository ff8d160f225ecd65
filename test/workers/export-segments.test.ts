/** Segments of an NBD export that are near each other are read in one request, and their bytes are the same. */
import { afterEach, expect, test, vi } from 'vitest';
import { NbdFailure } from '../../src/nbd/nbd-failure.js';
import { ItemError, type UnreadableItemRange } from '../../src/workers/item-failure.js';
import type { DataSegment } from '../../src/workers/segments.js';
import { SegmentReader } from '../../src/workers/tasks/segment-reader.js';
import { readExport } from '../../src/workers/tasks/thread-exports.js';
import { randomBytes } from '../e2e/source-images.js';
import { memoryOf } from './worker-setup.js';

vi.mock('../../src/workers/tasks/thread-exports.js', () => ({ readExport: vi.fn() }));

const EXPORT = 2 ** 31;
const KIB = 1024;
const CONTENT = randomBytes(300 * KIB);
const requests: [offset: number, length: number][] = [];

afterEach(() => {
  requests.length = 0;
});

/** Reads segments of the export, given in KiB. @param fails tells why a request for a range of bytes fails */
function readItem(
  parts: readonly (readonly [at: number, length: number, offset: number])[],
  fails: (from: number, to: number) => NbdFailure | undefined = () => undefined,
  salvage = false,
) {
  vi.mocked(readExport).mockImplementation((_, into, offset) => {
    requests.push([offset / KIB, into.length / KIB]);
    const failure = fails(offset, offset + into.length);
    if (failure !== undefined) throw failure;
    into.set(CONTENT.subarray(offset, offset + into.length));
    return into.length;
  });
  const segments = parts.map(([at, length, offset]): DataSegment => {
    const place = { at: at * KIB, length: length * KIB, offset: offset * KIB };
    return { kind: 'data', descriptor: EXPORT, ...place };
  });
  const setup = { readAlignment: 1, salvage, itemSize: 256 * KIB, ...memoryOf() };
  const item = new Uint8Array(256 * KIB).fill(0xdd);
  const unreadable: UnreadableItemRange[] = [];
  new SegmentReader(setup, setup, new Map()).read(segments, 0, item, unreadable);
  return { item, segments, unreadable };
}

function expectBytes({ item, segments }: ReturnType<typeof readItem>): void {
  const expected = Buffer.alloc(item.length);
  for (const { at, length, offset } of segments) CONTENT.copy(expected, at, offset, offset + length);
  expect(expected.equals(item)).toBe(true);
}

test('zeros of up to 32 KiB between two segments are read with them, and stay zeros', () => {
  expectBytes(
    readItem([
      [4, 4, 20],
      [12, 4, 28],
      [48, 4, 64],
      [85, 4, 101],
    ]),
  );
  expect(requests).toEqual([
    [20, 48],
    [101, 4],
  ]);
});

test('segments that lie in another order or at another distance are read by themselves', () => {
  expectBytes(
    readItem([
      [0, 4, 100],
      [8, 4, 50],
      [16, 4, 60],
    ]),
  );
  expect(requests).toHaveLength(3);
});

test('a range that cannot be read is found among its neighbours', () => {
  const parts = [
    [0, 4, 100],
    [8, 4, 108],
    [16, 4, 116],
  ] as const;
  const isBad = (from: number, to: number) => from < 112 * KIB && to > 108 * KIB;
  const fails = (from: number, to: number) =>
    isBad(from, to) ? new NbdFailure('refused', 'Input/output error', { code: 'EIO' }) : undefined;
  const { item, unreadable } = readItem(parts, fails, true);
  expect(unreadable).toEqual([
    { at: 8 * KIB, length: 4 * KIB, failure: expect.objectContaining({ offset: 108 * KIB, code: 'EIO' }) },
  ]);
  expect(item.subarray(8 * KIB, 12 * KIB).every((byte) => byte === 0)).toBe(true);
  expect(CONTENT.subarray(116 * KIB, 120 * KIB).equals(item.subarray(16 * KIB, 20 * KIB))).toBe(true);
  expect(() => readItem(parts, fails)).toThrow(ItemError);
});

test('after a lost connection nothing is read again', () => {
  const lost = () => new NbdFailure('lost', 'the server closed the connection');
  const parts = [
    [0, 4, 100],
    [8, 4, 108],
  ] as const;
  expect(() => readItem(parts, lost, true)).toThrow('the server closed the connection');
  expect(requests).toHaveLength(1);
});
