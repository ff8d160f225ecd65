/** Compares estimates with exact sizes, over many samples of disks of many kinds. */
import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { NextItem } from '../../src/convert/input.js';
import type { Estimate } from '../../src/measure/options.js';
import { Sampling } from '../../src/measure/sampling.js';
import { UNCHANGED } from '../../src/qcow2/packed-clusters.js';
import type { CompressClusters } from '../../src/workers/messages/compression.js';
import { ITEM_BYTES, type PlannedItem } from '../../src/workers/plan.js';
import type { ItemResult } from '../../src/workers/pool.js';
import { randomBytes, records, text } from '../engines/samples.js';

const CLUSTER = 65536;
const PER_ITEM = ITEM_BYTES / CLUSTER;

/** The result for each cluster of a disk: its compressed length, 0 for zeros, CLUSTER if incompressible. */
type Disk = readonly number[];

/** Work items of a disk; the descriptor stands for the disk, so the offset tells the cluster. */
function itemsOf(disk: Disk, length: number): () => NextItem {
  return () => {
    let at = 0;
    return async () => {
      if (at >= disk.length) return undefined;
      const guestOffset = at * CLUSTER;
      at += PER_ITEM;
      const size = Math.min(ITEM_BYTES, length - guestOffset);
      return {
        guestOffset,
        length: size,
        segments: [{ kind: 'data', at: 0, length: size, descriptor: 0, offset: guestOffset }],
      };
    };
  };
}

interface Estimated extends Estimate {
  readonly total: number;
  /** The estimated result for every cluster. */
  readonly disk: Disk;
  /** The clusters that were compressed. */
  readonly compressed: readonly number[];
}

async function estimate(
  disk: Disk,
  percent: number,
  seed = 0,
  length = disk.length * CLUSTER,
): Promise<Estimated> {
  const sampling = new Sampling({ percent, pieceSize: CLUSTER, seed });
  const compressed: number[] = [];
  const became: number[] = [];
  const pack = async ({ segments, length: bytes }: PlannedItem): Promise<ItemResult<CompressClusters>> => {
    const sizes = new Uint32Array(Math.ceil(bytes / CLUSTER));
    for (const segment of segments) {
      if (segment.kind !== 'data') throw new Error(segment.kind);
      compressed.push(segment.offset / CLUSTER);
      sizes[segment.at / CLUSTER] = disk[segment.offset / CLUSTER]!;
    }
    return { sizes, copied: 0, subclusters: undefined, bytes: new Uint8Array(0), unreadable: [] };
  };
  const store = async ({ sizes }: ItemResult<CompressClusters>, { guestOffset }: PlannedItem) => {
    for (const [index, size] of sizes.entries()) became[guestOffset / CLUSTER + index] = size;
  };
  const settings = { slots: 4, guestBytes: length, onProgress: undefined, signal: undefined };
  await sampling.run({ pack, store, storedBytes: () => 0 }, itemsOf(disk, length), CLUSTER, settings);
  return { ...sampling.estimate!, total: sum(became), disk: became, compressed };
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

/** Numbers from 0 to 1, the same on every run. */
function dice(seed: number): () => number {
  const bytes = randomBytes(65536, seed);
  let at = 0;
  return () => {
    at = (at + 3) % 65500;
    return (bytes[at]! * 65536 + bytes[at + 1]! * 256 + bytes[at + 2]!) / 2 ** 24;
  };
}

const compressedLength = (bytes: Uint8Array) => Math.min(CLUSTER, deflateRawSync(bytes, { level: 1 }).length);

/** Clusters of one kind that vary like those of real files: each contains some other data. */
function clustersOf(count: number, content: (length: number, seed: number) => Uint8Array): Disk {
  const roll = dice(count);
  return Array.from({ length: count }, (_, seed) => {
    const part = Math.floor(roll() * CLUSTER);
    const bytes = Buffer.alloc(CLUSTER);
    bytes.set(content(part, seed + 1));
    bytes.set(records(CLUSTER - part, seed + 2), part);
    return compressedLength(bytes);
  });
}

const roll = dice(7);
const prose = clustersOf(500, text);
const binaries = clustersOf(400, (length, seed) =>
  seed % 5 === 0 ? randomBytes(length, seed) : records(length, seed),
);
const many = (count: number, of: (index: number) => number): Disk =>
  Array.from({ length: count }, (_, i) => of(i));

const DISKS: Readonly<Record<string, Disk>> = {
  text: prose,
  binaries,
  'text among zeros': prose.flatMap((size, index) => (index % 40 < 25 ? [size] : [size, 0, 0, 0])),
  'incompressible data': many(3000, () => CLUSTER),
  'zeros with a few other clusters': many(4000, () => (roll() < 0.01 ? 20000 : 0)),
  'zeros with files at three offsets': many(4000, (i) =>
    [500, 1700, 3100].some((a) => i >= a && i < a + 20) ? 20000 : 0,
  ),
  'every other cluster': many(4000, (i) => (i % 2 === 0 ? CLUSTER : 100)),
  'three of a hundred': many(4000, (i) => (i % 100 < 3 ? CLUSTER : 100)),
  'two different halves': many(3000, (i) => (i < 1500 ? CLUSTER : prose[i % 500]!)),
  'all kinds in sequence': [...prose, ...binaries, ...many(300, () => CLUSTER), ...many(500, () => 0)],
  'a few clusters': prose.slice(0, 90),
};

describe('the exact size lies inside the margin', () => {
  test.each(Object.entries(DISKS))('for at least nine samples in ten: %s', async (_, disk) => {
    const truth = sum(disk);
    const [percentages, seeds] = [[1, 5, 20, 50], 10];
    let inside = 0;
    for (const percent of percentages) {
      for (let seed = 0; seed < seeds; seed += 1) {
        const { total, margin } = await estimate(disk, percent, seed);
        if (Math.abs(total - truth) <= margin) inside += 1;
      }
    }
    expect(inside).toBeGreaterThanOrEqual(0.9 * percentages.length * seeds);
  });

  test('and a larger sample has a smaller margin', async () => {
    const margins = [];
    for (const percent of [2, 10, 40, 80, 100]) margins.push((await estimate(binaries, percent)).margin);
    expect(margins).toEqual([...margins].sort((a, b) => b - a));
    expect(margins.at(0)).toBeLessThan(0.3 * sum(binaries));
    expect(margins.at(-1)).toBe(0);
  });
});

describe('a sample', () => {
  test.each([0.5, 3, 33.3, 70])('of %s percent compresses only the sample', async (percent) => {
    const disk = many(20_000, (i) => i % 1000);
    const { compressed, sampledBytes, dataBytes } = await estimate(disk, percent);
    expect(compressed.length).toBe(Math.ceil((20_000 * percent) / 100));
    expect(sampledBytes).toBe(compressed.length * CLUSTER);
    expect(dataBytes).toBe(20_000 * CLUSTER);
  });

  test('of 100 percent gives the exact size, without a margin', async () => {
    const { disk, margin, sampledBytes, dataBytes } = await estimate(binaries, 100);
    expect(disk).toEqual(binaries);
    expect([margin, sampledBytes]).toEqual([0, dataBytes]);
  });

  test('of a small disk is the whole disk', async () => {
    const small = prose.slice(0, 64);
    expect(await estimate(small, 1)).toMatchObject({ disk: small, margin: 0 });
  });

  test('of a disk without data is empty', async () => {
    expect(await estimate([], 1)).toMatchObject({ total: 0, margin: 0, sampledBytes: 0, dataBytes: 0 });
  });

  test('is the same for the same seed, and differs for another', async () => {
    const [one, again, other] = [0, 0, 1].map((seed) => estimate(binaries, 20, seed));
    expect(await one).toEqual(await again);
    expect((await other)!.compressed).not.toEqual((await one)!.compressed);
  });

  test('always includes a short last piece', async () => {
    const length = 1000 * CLUSTER - 512;
    const disk = many(1000, (i) => (i === 999 ? 5 : 1000));
    const found = await estimate(disk, 10, 0, length);
    expect(found.compressed).toContain(999);
    expect(found.disk).toEqual(disk);
    expect(found.dataBytes).toBe(length);
  });

  test('keeps clusters equal to the backing file', async () => {
    const changed: [number, number][] = [[3, 5]];
    const item: PlannedItem = {
      guestOffset: ITEM_BYTES,
      length: ITEM_BYTES,
      segments: [{ kind: 'data', at: 3 * CLUSTER, length: 2 * CLUSTER, descriptor: 0, offset: 0 }],
      backing: [],
      changed,
    };
    const sampling = new Sampling({ percent: 100, pieceSize: CLUSTER });
    const stored: Uint32Array[] = [];
    await sampling.run(
      {
        pack: async ({ length }) => ({
          sizes: new Uint32Array(length / CLUSTER).fill(7),
          copied: 0,
          subclusters: undefined,
          bytes: new Uint8Array(0),
          unreadable: [],
        }),
        store: async ({ sizes }) => void stored.push(sizes),
        storedBytes: () => 0,
      },
      () => {
        const items = [item].values();
        return async () => items.next().value;
      },
      CLUSTER,
      { slots: 2, guestBytes: 2 * ITEM_BYTES, onProgress: undefined, signal: undefined },
    );
    const expected = new Uint32Array(PER_ITEM).fill(UNCHANGED).fill(7, 3, 5);
    expect(stored).toEqual([expected]);
  });
});
