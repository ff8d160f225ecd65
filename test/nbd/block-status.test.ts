/** The block status of an export, for any extents and any server that tells less than it was asked for. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { roundDown, roundUp } from '../../src/arithmetic.js';
import { BlockStatus, type StatusRequests } from '../../src/nbd/block-status.js';
import type { ExtentListener } from '../../src/nbd/libnbd.js';
import { longTest, tries } from '../stage.js';

const CONTEXT = 'qemu:dirty-bitmap:b';
const GIB = 2 ** 30;

type Extent = readonly [length: number, flags: number];

/**
 * A server with these extents.
 * @param most extents of a reply
 * @param reply changes what it sends
 */
function serverOf(extents: readonly Extent[], most: number, reply = (sent: readonly Extent[]) => sent) {
  const requests: number[] = [];
  const blockStatus = (
    length: number,
    offset: number,
    { callback }: { readonly callback: ExtentListener },
  ) => {
    requests.push(offset);
    const found: Extent[] = [];
    let at = 0;
    for (const [bytes, flags] of extents) {
      const from = Math.max(at, offset);
      at += bytes;
      // The last one may go beyond what was asked for.
      if (at > offset && from < offset + length && found.length < most) found.push([at - from, flags]);
    }
    callback('base:allocation', [BigInt(length), 3n]);
    callback(CONTEXT, reply(found).flat().map(BigInt));
    return 1;
  };
  const fake = {
    library: {
      has: () => true,
      onExtents: (callback: ExtentListener) => ({ callback: { callback }, stop: () => {} }),
    },
    request: async (begin: (handle: object) => number) => void begin({ blockStatus }),
  };
  return { requests, asked: fake as unknown as StatusRequests };
}

/**
 * Checks that the extents have these flags throughout a range. Sectors with two flags may be unknown as a whole: what
 * counts as unknown (1) is right for any range.
 */
function expectRange(extents: readonly Extent[], offset: number, length: number, flags: number): void {
  expect(length).toBeGreaterThan(0);
  let end = 0;
  for (const [bytes, flag] of extents) {
    const from = Math.max(end, offset);
    end += bytes;
    const to = Math.min(end, offset + length);
    if (from < to && flag !== flags) {
      const isInMixedSectors = flags === 1 && from - roundDown(from, 512) + (roundUp(to, 512) - to) > 0;
      expect([offset, from, to, isInMixedSectors]).toEqual([offset, from, to, true]);
      expect(to - from).toBeLessThan(512);
    }
  }
  expect(offset + length).toBeLessThanOrEqual(end);
}

test('every range has its flags, for any walk and any number of extents in a reply', async () => {
  const length = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 5 * GIB }));
  const anyExtents = fc.array(fc.tuple(length, fc.nat(1)), { minLength: 1, maxLength: 20 });
  const jumps = fc.array(fc.oneof(fc.constant(0), fc.nat(7), fc.nat(3 * GIB)), { maxLength: 15 });
  await fc.assert(
    fc.asyncProperty(anyExtents, fc.integer({ min: 1, max: 4 }), jumps, async (extents, most, list) => {
      const size = extents.reduce((sum, [bytes]) => sum + bytes, 0);
      const status = new BlockStatus(serverOf(extents, most).asked, CONTEXT, 1, size);
      for (const start of [0, Math.floor(size / 3)]) {
        for (let at = start, step = 0; at < size; step += 1) {
          const { length: bytes, flags } = await status.at(at);
          expectRange(extents, at, bytes, flags);
          at += bytes + (list[step] ?? 0);
        }
      }
    }),
    { numRuns: tries(300) },
  );
});

test.each<[string, readonly Extent[]]>([
  ['no extent', []],
  ['an extent without a length', [[0, 0]]],
])('a range without an answer counts as unknown: %s', async (_, sent) => {
  for (const unknown of [0, 1]) {
    const { asked } = serverOf([[4096, 1 - unknown]], 1, () => sent);
    const status = new BlockStatus(asked, CONTEXT, unknown, 4096);
    expect(await status.at(512)).toEqual({ length: 3584, flags: unknown });
  }
});

test('a walk over some ranges of a large disk asks for each part once', async () => {
  const extents = Array.from({ length: 1000 }, (_, index): Extent => [GIB, index % 2]);
  const { requests, asked } = serverOf(extents, 1000);
  const status = new BlockStatus(asked, CONTEXT, 1, 1000 * GIB);
  for (let at = 0; at < 1000 * GIB; at += 10 * GIB + 512) await status.at(at);
  // Each request asks for 2 GiB.
  expect(requests.length).toBeLessThanOrEqual(501);
});

test('two walks, one ahead of the other, ask for each part once each', async () => {
  const extents = Array.from({ length: 400 }, (_, index): Extent => [GIB, index % 2]);
  const { requests, asked } = serverOf(extents, 1000);
  const status = new BlockStatus(asked, CONTEXT, 1, 400 * GIB);
  const ahead = Array.from({ length: 133 }, (_, index) => index * 3 * GIB);
  for (const [index, at] of ahead.entries()) {
    for (const offset of [at, (index * GIB) / 2]) {
      const { length, flags } = await status.at(offset);
      expectRange(extents, offset, length, flags);
    }
  }
  expect(requests.length).toBeLessThan(300);
});

/** The ranges from the start to the end. */
async function walk(status: BlockStatus, size: number): Promise<number[]> {
  const lengths: number[] = [];
  for (let at = 0; at < size; at += lengths.at(-1) as number) lengths.push((await status.at(at)).length);
  return lengths;
}

longTest('extents of single bytes are one range that is read', async () => {
  const size = 2 ** 18;
  const extents = Array.from({ length: size }, (_, index): Extent => [1, index % 2]);
  const { requests, asked } = serverOf(extents, size);
  expect(await walk(new BlockStatus(asked, CONTEXT, 1, size), size)).toEqual([size]);
  expect(requests).toHaveLength(1);
});

test.each([
  ['of one byte each', 1, 1],
  ['of a hundred extents of a sector', 512, 100],
])('replies that cost more than reading end: %s', async (_, bytes, count) => {
  const size = 100 * GIB;
  const requests: number[] = [];
  const reply = Array.from({ length: 2 * count }, (_value, at) =>
    BigInt(at % 2 === 0 ? bytes : (at >> 1) % 2),
  );
  const asked = {
    library: {
      has: () => true,
      onExtents: (callback: ExtentListener) => ({ callback: { callback }, stop: () => {} }),
    },
    request: async (begin: (handle: object) => number) => {
      begin({
        blockStatus: (_length: number, offset: number, { callback }: { callback: ExtentListener }) => {
          requests.push(offset);
          callback(CONTEXT, reply);
          return 1;
        },
      });
    },
  } as unknown as StatusRequests;
  const status = new BlockStatus(asked, CONTEXT, 1, size);
  const lengths = await walk(status, size);
  expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(size);
  // About a thousand, and one for each 2 GiB.
  expect(requests.length).toBeLessThan(1200);
});

test('extents of 4 KiB are told as they are', async () => {
  const count = 2 ** 15;
  const extents = Array.from({ length: count }, (_, index): Extent => [4096, index % 2]);
  const { asked } = serverOf(extents, count);
  const lengths = await walk(new BlockStatus(asked, CONTEXT, 1, count * 4096), count * 4096);
  expect(lengths).toEqual(Array(count).fill(4096));
});
