import { closeSync, openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Compressor } from '../../src/engines/codec.js';
import { createCompressor, createDecompressor } from '../../src/engines/create-engine.js';
import { chooseCompressor } from '../../src/engines/engine-choice.js';
import type { CompressionItem, CompressionSetup } from '../../src/workers/messages/compression.js';
import { ClusterCompressor } from '../../src/workers/tasks/compress-clusters.js';
import { useScratch } from '../e2e/scratch.js';
import { CLUSTERS, randomBytes } from '../engines/samples.js';
import { piecesOf, SLOTS, setupOf } from './worker-setup.js';

const scratch = useScratch();
/** For sources without payloads. */
const NO_DECOMPRESSORS = new Map();

/** The disk: 64 KiB of everything in sequence, twice in a row, and an odd end. */
const DISK = Buffer.concat([...CLUSTERS.flatMap(([, bytes]) => [bytes, bytes]), randomBytes(700, 9)]);
let descriptor: number;
beforeAll(async () => {
  await writeFile(scratch('disk.raw'), DISK);
  descriptor = openSync(scratch('disk.raw'), 'r');
});
afterAll(() => closeSync(descriptor));

/** The item of `clusters` clusters at `offset` of the disk, as far as the disk goes. */
function itemAt(offset: number, clusters: number, clusterSize: number, slot = 0): CompressionItem {
  const length = Math.min(clusters * clusterSize, DISK.length - offset);
  return { segments: [{ kind: 'data', at: 0, length, descriptor, offset }], length, slot };
}

/** What the item's clusters are on the disk, zeros behind its end. */
function clustersAt(offset: number, clusters: number, clusterSize: number): Buffer[] {
  return Array.from({ length: clusters }, (_, index) => {
    const cluster = Buffer.alloc(clusterSize);
    DISK.subarray(offset + index * clusterSize).copy(cluster);
    return cluster;
  });
}

/** "Compresses" a cluster of one value to five bytes, and anything else not at all. Counts its work. */
class RunLengthCompressor implements Compressor {
  readonly asked: number[] = [];

  compress(input: Uint8Array, output: Uint8Array): number {
    // A compressed cluster must be shorter than a cluster: there is room for no more.
    expect(output.length).toBe(input.length - 1);
    this.asked.push(input[0]!);
    if (input.some((byte) => byte !== input[0])) return 0;
    output.set([1, 2, 3, 4, input[0]!]);
    return 5;
  }

  free(): void {}
}

describe('an item', () => {
  test.each([
    ['zlib', 'libdeflate'],
    ['zlib', 'node'],
    ['zstd', 'libzstd'],
  ] as const)('is restored from %s of %s, for any range and cluster size', async (type, engine) => {
    const choice = await chooseCompressor({ type, engine });
    const [compressor, decompressor] = [
      await createCompressor(choice),
      await createDecompressor({ type, engine }),
    ];
    const ranges = fc.record({
      clusterBits: fc.integer({ min: 9, max: 16 }),
      offset: fc.nat(DISK.length - 1),
      clusters: fc.integer({ min: 1, max: 6 }),
      slot: fc.nat(SLOTS - 1),
    });
    fc.assert(
      fc.property(ranges, fc.boolean(), ({ clusterBits, offset, clusters, slot }, keepZeros) => {
        const clusterSize = 2 ** clusterBits;
        const setup = setupOf(clusterSize, 6 * clusterSize, { compressor: choice, keepZeros });
        const item = itemAt(offset, clusters, clusterSize, slot);
        const { sizes } = new ClusterCompressor(setup, setup, compressor, NO_DECOMPRESSORS).run(item);
        expect(sizes.length).toBe(Math.ceil(item.length / clusterSize));
        const pieces = piecesOf(setup, sizes, slot);
        for (const [index, cluster] of clustersAt(offset, sizes.length, clusterSize).entries()) {
          const isZero = cluster.every((byte) => byte === 0);
          const piece = pieces[index]!;
          expect(piece.length === 0).toBe(isZero && !keepZeros);
          if (piece.length === 0) continue;
          const back = Buffer.alloc(clusterSize);
          if (piece.length === clusterSize) piece.copy(back);
          else decompressor.decompress(piece, back);
          expect(back.equals(cluster)).toBe(true);
        }
        // The other items' slots are theirs.
        for (let other = 0; other < SLOTS; other += 1) {
          if (other === slot) continue;
          const bytes = new Uint8Array(setup.results, other * setup.itemSize, setup.itemSize);
          expect(bytes.every((byte) => byte === 0xcc)).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
    compressor.free();
    decompressor.free();
  });

  test('gives the same bytes after any earlier items', async () => {
    const choice = await chooseCompressor({ type: 'zlib' });
    const compressor = await createCompressor(choice);
    const setup = setupOf(4096, 65_536, { compressor: choice });
    const pack = (packer: ClusterCompressor, offset: number) => {
      const { sizes } = packer.run(itemAt(offset, 16, 4096));
      return `${sizes} ${Buffer.concat(piecesOf(setup, sizes)).toString('base64')}`;
    };
    const offsets = fc.array(
      fc.nat(Math.floor(DISK.length / 4096)).map((block) => block * 4096),
      { minLength: 2, maxLength: 6 },
    );
    fc.assert(
      fc.property(offsets, (list) => {
        const used = new ClusterCompressor(setup, setup, compressor, NO_DECOMPRESSORS);
        for (const offset of list) {
          expect(
            pack(used, offset) ===
              pack(new ClusterCompressor(setup, setup, compressor, NO_DECOMPRESSORS), offset),
          ).toBe(true);
        }
      }),
      { numRuns: 15 },
    );
    compressor.free();
  });

  test('is stored cluster by cluster, without zeros, if compression is off', () => {
    const setup = setupOf(512, 4096, { sparseSize: 512 });
    const zeros = 2 * 65_536 * CLUSTERS.findIndex(([name]) => name === 'zeros');
    const { sizes } = new ClusterCompressor(setup, setup, undefined, NO_DECOMPRESSORS).run(
      itemAt(zeros - 1024, 8, 512),
    );
    expect([...sizes]).toEqual([512, 512, 0, 0, 0, 0, 0, 0]);
    expect(Buffer.concat(piecesOf(setup, sizes))).toEqual(DISK.subarray(zeros - 1024, zeros));
  });
});

describe('the compressor', () => {
  /** Clusters of one value each, or of noise for undefined, through a packer of 512-byte clusters. */
  async function pack(values: readonly (number | undefined)[], more: Partial<CompressionSetup> = {}) {
    const setup = setupOf(512, 8192, more);
    const clusters = values.map((value, index) =>
      value === undefined ? Buffer.from(randomBytes(512, index + 1)) : Buffer.alloc(512, value),
    );
    await writeFile(scratch('values.raw'), Buffer.concat(clusters));
    const fd = openSync(scratch('values.raw'), 'r');
    const compressor = new RunLengthCompressor();
    const { sizes } = new ClusterCompressor(setup, setup, compressor, NO_DECOMPRESSORS).run({
      segments: [{ kind: 'data', at: 0, length: clusters.length * 512, descriptor: fd, offset: 0 }],
      length: clusters.length * 512,
      slot: 0,
    });
    closeSync(fd);
    return { sizes: [...sizes], pieces: piecesOf(setup, sizes), asked: compressor.asked, clusters };
  }

  test('is called once for a run of equal clusters, also of stored ones, and again after another cluster', async () => {
    const { sizes, pieces, asked } = await pack([7, 7, 7, 0, 7, 8, 7, 0, 0, 9]);
    expect(sizes).toEqual([5, 5, 5, 0, 5, 5, 5, 0, 0, 5]);
    expect(asked).toEqual([7, 7, 8, 7, 9]);
    const values = pieces.filter((piece) => piece.length > 0).map((piece) => piece.at(-1));
    expect(values).toEqual([7, 7, 7, 7, 8, 7, 9]);
  });

  test('that cannot shrink a cluster leaves it uncompressed', async () => {
    const { sizes, pieces, clusters } = await pack([1, undefined, undefined, 2]);
    expect(sizes).toEqual([5, 512, 512, 5]);
    expect(pieces.slice(1, 3)).toEqual(clusters.slice(1, 3));
  });

  test('gets zeros too if they are kept', async () => {
    const { sizes, asked } = await pack([0, 0, 1, 0], { keepZeros: true });
    expect(sizes).toEqual([5, 5, 5, 5]);
    expect(asked).toEqual([0, 1, 0]);
  });

  test('is not called for a cluster that looks incompressible', () => {
    const random = 2 * 65_536 * CLUSTERS.findIndex(([name]) => name === 'random bytes');
    const setup = setupOf(65_536, 65_536);
    const compressor = new RunLengthCompressor();
    const { sizes } = new ClusterCompressor(setup, setup, compressor, NO_DECOMPRESSORS).run(
      itemAt(random, 1, 65_536),
    );
    expect([[...sizes], compressor.asked]).toEqual([[65_536], []]);
  });

  test('that fails is reported, and the packer continues with the next item', () => {
    const setup = setupOf(512, 512);
    const compressor = new RunLengthCompressor();
    const packer = new ClusterCompressor(setup, setup, compressor, NO_DECOMPRESSORS);
    const { compress } = compressor;
    compressor.compress = () => {
      throw new Error('broken');
    };
    expect(() => packer.run(itemAt(0, 1, 512))).toThrow('broken');
    compressor.compress = compress;
    expect(packer.run(itemAt(0, 1, 512)).sizes.length).toBe(1);
  });
});
