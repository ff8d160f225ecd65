/** Progress in proportion to time: the planned work, and the estimate while the plan is incomplete. */
import { describe, expect, test } from 'vitest';
import { readingWork, storingWork } from '../../src/workers/item-work.js';
import type { CompressedSegment } from '../../src/workers/segments.js';
import { WorkAhead, type WorkAheadParts } from '../../src/workers/work-ahead.js';

const MIB = 1024 * 1024;
/** Large, so that the start of threads weighs little beside them. */
const WORK = 1e12;

interface Item {
  readonly guestOffset: number;
  readonly length: number;
  readonly work: number;
  readonly later?: number;
}

const item = (at: number, work = WORK): Item => ({ guestOffset: at * MIB, length: MIB, work });

function workOn(
  items: readonly Item[] | undefined,
  size: number | undefined,
  onItem?: () => void,
  isWanted?: () => boolean,
) {
  let next = 0;
  const parts: WorkAheadParts<Item> = {
    items:
      items &&
      (async () => {
        onItem?.();
        return items[next++];
      }),
    weigh: ({ work: now, later = 0 }) => ({ now, later }),
    size: size === undefined ? undefined : size * MIB,
    threads: 2,
  };
  return new WorkAhead<Item>(parts, isWanted);
}

describe('the share of the work', () => {
  test('does not count holes, and weighs items', async () => {
    const items = [item(0, WORK), item(900, 3 * WORK)];
    const work = workOn(items, 1000);
    await work.advance();
    expect(work.share).toBe(0);
    work.add(items[0]!);
    expect(work.share).toBeCloseTo(0.25, 2);
    work.add(items[1]!);
    expect(work.share).toBe(1);
  });

  test('takes the rest to be like the start until the whole is known, and counts in small steps', async () => {
    let counted = 0;
    const many = Array.from({ length: 100_000 }, (_, index) => item(index));
    const work = workOn(many, 100_000, () => {
      counted += 1;
      // A slow map: ten items take longer than the first step.
      for (const until = performance.now() + 5; performance.now() < until; );
    });
    await work.advance();
    expect(counted).toBeLessThan(20);
    work.add(many[0]!);
    expect(work.share).toBeCloseTo(1 / 100_000, 6);
    const before = counted;
    await work.advance();
    expect(counted - before).toBeLessThanOrEqual(2);
  });

  test('is in bytes of the disk for a stream of known length, and unknown for another', () => {
    const known = workOn(undefined, 4);
    known.add(item(0));
    expect(known.share).toBeCloseTo(0.25, 2);
    const unknown = workOn(undefined, undefined);
    unknown.add(item(0));
    expect(unknown.share).toBeUndefined();
    unknown.finish();
    expect(unknown.share).toBe(1);
  });

  test('keeps the last estimate when the plan fails: the run meets the same error', async () => {
    const work = new WorkAhead<Item>({
      items: () => Promise.reject(new Error('a broken table')),
      weigh: ({ work: now }) => ({ now, later: 0 }),
      size: 4 * MIB,
      threads: 1,
    });
    await work.advance();
    work.add(item(1));
    expect(work.share).toBeCloseTo(0.5, 2);
  });

  test('costs no plan before it is wanted, and is right from then on', async () => {
    let planned = 0;
    let isWanted = false;
    const items = [item(0), item(1), item(900), item(901)];
    const onItem = () => {
      planned += 1;
    };
    const work = workOn(items, 1000, onItem, () => isWanted);
    await work.advance();
    work.add(items[0]!);
    expect({ planned, share: work.share }).toEqual({ planned: 0, share: undefined });
    isWanted = true;
    await work.advance();
    expect(planned).toBe(5);
    expect(work.share).toBeCloseTo(0.25, 2);
    isWanted = false;
    work.add(items[1]!);
    expect(work.share).toBeCloseTo(0.5, 2);
    work.finish();
    expect(work.share).toBe(1);
  });

  test('leaves its part to later phases', async () => {
    const items = [{ ...item(0), later: 3 * WORK }];
    const work = workOn(items, 1);
    await work.advance();
    expect(work.ownPart).toBeCloseTo(0.25, 2);
  });
});

describe('the work of an item', () => {
  const data = { kind: 'data', at: 0, length: MIB, descriptor: 3, offset: 0 } as const;
  const payload: CompressedSegment = {
    kind: 'compressed',
    at: 0,
    length: 65536,
    payloads: { type: 'zlib', descriptor: 3, clusterSize: 65536, places: [0, 4096] },
    skip: 0,
  };
  const compressor = { engine: 'libdeflate', type: 'zlib', level: 6, windowBits: 15 } as const;
  const storing = { compressor, passthrough: true, clusterSize: 65536 };

  test('is less for copying than for compressing, and more for higher levels', () => {
    const copied = storingWork({ segments: [payload] }, storing);
    const recompressed = storingWork({ segments: [payload] }, { ...storing, passthrough: false });
    const higher = { ...storing, passthrough: false, compressor: { ...compressor, level: 12 } };
    expect(copied).toBeLessThan(recompressed / 2);
    expect(storingWork({ segments: [payload] }, higher)).toBeGreaterThan(2 * recompressed);
    const others = { ...storing, clusterSize: 4096 };
    expect(storingWork({ segments: [payload] }, others)).toBe(recompressed);
  });

  test('is nearly nothing for zeros, and more for inflating than for reading', () => {
    const length = 2 * MIB;
    const zeros = readingWork({ segments: [], length });
    const read = readingWork({ segments: [{ ...data, length }], length });
    const inflated = readingWork({ segments: [{ ...payload, length }], length });
    expect(zeros).toBeLessThan(read / 4);
    expect(inflated).toBeGreaterThan(2 * read);
  });

  test('over a backing file counts only the clusters that may be stored', () => {
    const all = storingWork({ segments: [data] }, storing);
    expect(storingWork({ segments: [data] }, storing, [[0, 4]])).toBeCloseTo(all / 4);
    expect(storingWork({ segments: [data] }, storing, [])).toBe(0);
  });
});
