/** The requests for block status: their ranges, their number in flight, and their failures. */
import { describe, expect, test } from 'vitest';
import { BlockStatus } from '../../src/nbd/block-status.js';
import type { Callback } from '../../src/nbd/callbacks.js';
import type { ExtentListener, Extents, Libnbd } from '../../src/nbd/libnbd.js';
import { NbdFailure } from '../../src/nbd/nbd-failure.js';
import type { NbdHandle } from '../../src/nbd/nbd-handle.js';

const GIB = 2 ** 30;
const UNKNOWN = 7;

/** @param reply to a request for `length` bytes at `offset` */
function statusOf(size: number, is64: boolean, reply: (offset: number, length: number) => Extents) {
  const asked: [offset: number, length: number][] = [];
  let underWay = 0;
  let most = 0;
  const library = {
    has: () => is64,
    onExtents: (callback: ExtentListener) => ({ callback: { callback }, stop: () => {} }),
  } as unknown as Libnbd;
  const request = async (begin: (handle: NbdHandle) => number) => {
    const calls: (() => void)[] = [];
    const blockStatus = (length: number, offset: number, { callback }: Callback, wide: boolean) => {
      expect(wide).toBe(is64);
      asked.push([offset, length]);
      calls.push(() => (callback as ExtentListener)('base:allocation', reply(offset, length)));
      return 1;
    };
    begin({ blockStatus } as unknown as NbdHandle);
    underWay += 1;
    most = Math.max(most, underWay);
    await Promise.resolve();
    underWay -= 1;
    for (const call of calls) call();
  };
  const status = new BlockStatus({ library, request }, 'base:allocation', UNKNOWN, size);
  return { status, asked, most: () => most };
}

/** The ranges from the start to the end. */
async function walk(status: BlockStatus, size: number): Promise<[number, number][]> {
  const ranges: [number, number][] = [];
  for (let at = 0; at < size; ) {
    const { length, flags } = await status.at(at);
    ranges.push([length, flags]);
    at += length;
  }
  return ranges;
}

describe.each([
  ['32', false, (...pairs: number[]) => Uint32Array.from(pairs)],
  ['64', true, (...pairs: number[]) => pairs.map(BigInt)],
] as const)('with the %s-bit call', (_, is64, entries) => {
  test('neighbours of equal flags are one range, and several requests are under way', async () => {
    const size = 40 * GIB;
    const { status, asked, most } = statusOf(size, is64, (_offset, length) =>
      entries(512, 0, 512, 0, length - 1024, 3),
    );
    const ranges = await walk(status, size);
    expect(ranges.slice(0, 2)).toEqual([
      [1024, 0],
      [2 * GIB - 1024, 3],
    ]);
    expect(ranges).toHaveLength(40);
    expect(asked).toHaveLength(20);
    expect(most()).toBe(8);
  });

  test('a reply for a part of the range is followed by a request for the rest', async () => {
    const { status, asked } = statusOf(4096, is64, (_offset, length) => entries(Math.min(length, 1024), 3));
    expect(await walk(status, 4096)).toEqual(Array(4).fill([1024, 3]));
    expect(asked).toEqual([
      [0, 4096],
      [1024, 3072],
      [2048, 2048],
      [3072, 1024],
    ]);
  });

  test('an extent that goes beyond the request is cut there', async () => {
    const { status } = statusOf(4096, is64, (_offset, length) => entries(length + 8192, 3));
    expect(await walk(status, 4096)).toEqual([[4096, 3]]);
  });
});

test('a refused request gives an unknown status; a lost connection is an error', async () => {
  const fails = (failure: NbdFailure) =>
    new BlockStatus(
      {
        library: { has: () => false, onExtents: () => ({ stop: () => {} }) } as unknown as Libnbd,
        request: () => Promise.reject(failure),
      },
      'base:allocation',
      UNKNOWN,
      4096,
    );
  expect(await fails(new NbdFailure('refused', 'no')).at(0)).toEqual({ length: 4096, flags: UNKNOWN });
  await expect(fails(new NbdFailure('lost', 'gone')).at(0)).rejects.toThrow('gone');
});
