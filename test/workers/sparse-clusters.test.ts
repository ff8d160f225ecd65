/** Clusters that are stored without compression: short runs of zeros, and which subclusters hold data. */
import { closeSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Compressor } from '../../src/engines/codec.js';
import type { CompressionSetup } from '../../src/workers/messages/compression.js';
import type { RunsSetup } from '../../src/workers/messages/runs.js';
import { ClusterCompressor } from '../../src/workers/tasks/compress-clusters.js';
import { RunFinder } from '../../src/workers/tasks/find-runs.js';
import { useScratch } from '../e2e/scratch.js';
import { makeSourceFile, type SourceFile } from './source-file.js';
import { piecesOf, runsSetupOf, setupOf } from './worker-setup.js';

const scratch = useScratch();
const ITEM = 65_536;
/** One byte of data in these blocks of 2 KiB, zeros elsewhere. */
const BLOCKS = [0, 3, 4, 16, 31];
const DISK = Buffer.alloc(ITEM);
for (const block of BLOCKS) DISK[block * 2048 + 2047] = 1;

let file: SourceFile;
beforeAll(() => {
  file = makeSourceFile(scratch('disk'), DISK, ITEM);
});
afterAll(() => closeSync(file.descriptor));

/** Never makes anything smaller. */
const inVain: Compressor = { compress: () => 0, free: () => {} };

function pack(clusterSize: number, more: Partial<CompressionSetup>, compressor?: Compressor, from = 0) {
  const setup = setupOf(clusterSize, ITEM, more);
  const segments = [file.data(0, from, ITEM - from)];
  const item = { segments, length: ITEM, slot: 0 };
  const packed = new ClusterCompressor(setup, setup, compressor, new Map()).run(item);
  return { ...packed, sizes: [...packed.sizes], pieces: piecesOf(setup, packed.sizes) };
}

describe('a run of zero clusters', () => {
  const stored = (clusterSize: number, sparseSize: number, from = 0) => {
    const { sizes, pieces } = pack(clusterSize, { sparseSize }, undefined, from);
    for (const [index, piece] of pieces.entries()) {
      const at = index * clusterSize;
      if (piece.length > 0) expect(piece.equals(DISK.subarray(at, at + clusterSize))).toBe(true);
    }
    return sizes.flatMap((size, index) => (size > 0 ? [index] : []));
  };

  test('that is at least as long as the sparse size is omitted', () => {
    expect(stored(2048, 2048)).toEqual(BLOCKS);
    expect(stored(2048, 512)).toEqual(BLOCKS);
  });

  test('that is shorter is stored, between and beside data of its piece', () => {
    expect(stored(2048, 4096)).toEqual([0, 1, 2, 3, 4, 5, 16, 17, 30, 31]);
    expect(stored(2048, 32_768)).toEqual(Array.from({ length: 32 }, (_, index) => index));
    // Pieces of 16 KiB. Only the second is zeros, which is too little.
    expect(stored(2048, 24_576)).toEqual(Array.from({ length: 32 }, (_, index) => index));
  });

  test('that is a hole of the source is omitted, however short', () => {
    expect(stored(2048, 32_768, 3 * 2048)[0]).toBe(3);
  });
});

describe('the subclusters', () => {
  const bits = (blocks: readonly number[]) => blocks.reduce((sum, block) => sum + 2 ** block, 0);

  test('that hold data have their bit', () => {
    const { subclusters, sizes } = pack(ITEM, { subclusters: true, sparseSize: 2048 });
    expect([...subclusters!]).toEqual([bits(BLOCKS)]);
    expect(sizes).toEqual([ITEM]);
  });

  test('that qemu-img would write with adjacent data have their bit too', () => {
    const { subclusters } = pack(ITEM, { subclusters: true, sparseSize: 4096 });
    expect([...subclusters!]).toEqual([bits([0, 1, 2, 3, 4, 5, 16, 17, 30, 31])]);
  });

  test('have bits in stored clusters only', () => {
    const { subclusters, sizes } = pack(16_384, { subclusters: true, sparseSize: 512 });
    expect(sizes).toEqual([16_384, 0, 16_384, 16_384]);
    expect([...subclusters!]).toEqual([2 ** 3 + 2 ** 15 + 2 ** 19, 0, 2 ** 3, 2 ** 31]);
  });

  test('are all stored if zeros are kept, or if the cluster is incompressible', () => {
    expect([...pack(ITEM, { subclusters: true, keepZeros: true }).subclusters!]).toEqual([0xffffffff]);
    expect([...pack(ITEM, { subclusters: true }, inVain).subclusters!]).toEqual([0xffffffff]);
    const shrinks: Compressor = { compress: () => 9, free: () => {} };
    expect([...pack(ITEM, { subclusters: true }, shrinks).subclusters!]).toEqual([0]);
  });

  test('are not reported without extended L2 entries', () => {
    expect(pack(ITEM, {}).subclusters).toBeUndefined();
  });
});

describe('the runs of a raw disk', () => {
  const runs = (more: Partial<RunsSetup>, descriptor = file.descriptor, length = ITEM) => {
    const setup = runsSetupOf(ITEM, more);
    const segments = [{ ...file.data(0, 0, length), descriptor }];
    return new RunFinder(setup, setup, new Map()).run({ segments, length, slot: 1 });
  };

  test('omit zeros of at least the sparse size', () => {
    const found = [0, 4096, 4096, 12_288, 32_768, 36_864, 61_440, 65_536];
    expect([...runs({ sparseSize: 4096 }).runs]).toEqual([0, 12_288, ...found.slice(4)]);
    expect([...runs({ sparseSize: 2048 }).runs.slice(0, 4)]).toEqual([0, 2048, 6144, 10_240]);
  });

  test('are the whole disk, and end with it, if zeros are kept', () => {
    expect([...runs({ keepZeros: true, sparseSize: 0 }, file.descriptor, 5120).runs]).toEqual([0, 5120]);
  });

  test('omit unreadable ranges', () => {
    const { runs: found, unreadable } = runs({ salvage: true }, -1);
    expect([...found]).toEqual([]);
    expect(unreadable).toMatchObject([
      { at: 0, length: ITEM, failure: { kind: 'read', code: expect.any(String) } },
    ]);
  });
});
