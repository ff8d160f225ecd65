/** Bytes of an NBD export that are near each other are read in one request, and they are the same. */
import { deflateRawSync } from 'node:zlib';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createDecompressor } from '../../src/engines/create-engine.js';
import { NbdFailure } from '../../src/nbd/nbd-failure.js';
import { ItemError, type UnreadableItemRange } from '../../src/workers/item-failure.js';
import type { DataSegment } from '../../src/workers/segments.js';
import { SegmentReader } from '../../src/workers/tasks/segment-reader.js';
import { splitSegments } from '../../src/workers/tasks/split-segments.js';
import { readExport } from '../../src/workers/tasks/thread-exports.js';
import { randomBytes } from '../e2e/source-images.js';
import { text } from '../engines/samples.js';
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

describe('the payloads of a run', () => {
  const CLUSTER = 64 * KIB;
  const clusters = Array.from({ length: 12 }, (_, index) => Buffer.from(text(CLUSTER, index)));
  const payloads = clusters.map((cluster) => deflateRawSync(cluster));
  const file = Buffer.concat(payloads);
  const offsets = payloads.map((_, index) =>
    payloads.slice(0, index).reduce((sum, { length }) => sum + length, 0),
  );

  /** Reads clusters of an export of `file`, in this order. @param bad offset of a byte that cannot be read */
  async function readClusters(order: readonly number[], bad?: number) {
    vi.mocked(readExport).mockImplementation((_, into, offset) => {
      requests.push([offset, into.length]);
      if (bad !== undefined && offset <= bad && bad < offset + into.length) {
        throw new NbdFailure('refused', 'Input/output error', { code: 'EIO' });
      }
      return file.copy(into, 0, offset);
    });
    const places = order.flatMap((index) => {
      const offset = offsets[index]!;
      return [offset, Math.ceil((offset + payloads[index]!.length) / 512) * 512 - offset];
    });
    const run = { type: 'zlib', descriptor: EXPORT, clusterSize: CLUSTER, places } as const;
    const length = order.length * CLUSTER;
    const split = splitSegments([{ kind: 'compressed', at: 0, length, payloads: run, skip: 0 }]);
    const zlib = await createDecompressor({ type: 'zlib' });
    const setup = { readAlignment: 1, salvage: true, itemSize: length, ...memoryOf() };
    const item = new Uint8Array(length);
    const unreadable: UnreadableItemRange[] = [];
    new SegmentReader(setup, setup, new Map([['zlib', zlib]])).read(split, 0, item, unreadable);
    zlib.free();
    return { item: Buffer.from(item), unreadable };
  }

  test('are read in requests of up to 256 KiB', async () => {
    const { item } = await readClusters(clusters.map((_, index) => index));
    expect(item.equals(Buffer.concat(clusters))).toBe(true);
    expect(requests.length).toBeLessThanOrEqual(Math.ceil(file.length / (256 * KIB - CLUSTER)));
    expect(Math.max(...requests.map(([, length]) => length))).toBeLessThanOrEqual(256 * KIB);
  });

  test('are read one by one where the next payload lies elsewhere', async () => {
    const order = [5, 3, 8, 1];
    const { item } = await readClusters(order);
    expect(item.equals(Buffer.concat(order.map((index) => clusters[index]!)))).toBe(true);
    expect(requests.map(([offset]) => offset)).toEqual(order.map((index) => offsets[index]));
  });

  test('lose only the one that cannot be read', async () => {
    const { item, unreadable } = await readClusters([0, 1, 2, 3], offsets[2]! + 1000);
    expect(unreadable).toEqual([
      {
        at: 2 * CLUSTER,
        length: CLUSTER,
        failure: expect.objectContaining({ code: 'EIO', offset: offsets[2] }),
      },
    ]);
    const expected = [clusters[0]!, clusters[1]!, Buffer.alloc(CLUSTER), clusters[3]!];
    expect(item.equals(Buffer.concat(expected))).toBe(true);
  });
});
