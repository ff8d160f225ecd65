import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import type { Bitmap } from '../../src/qcow2/bitmap-directory.js';
import { type BitmapCluster, readBitmap } from '../../src/qcow2/bitmap-reader.js';
import {
  type BitmapTableEntry,
  bitmapTableEntries,
  encodeBitmapTable,
} from '../../src/qcow2/bitmap-table.js';
import { TableBudget } from '../../src/qcow2/table-budget.js';
import { MemoryFile } from './memory-file.js';

type Target = Parameters<typeof readBitmap>[3];

/** An image whose bitmap has these table entries, and these consecutive bytes for `data` entries. */
function imageWith(clusterBits: number, kinds: readonly BitmapTableEntry['kind'][], data: Uint8Array) {
  const clusterSize = 2 ** clusterBits;
  const tableClusters = Math.ceil((kinds.length * 8) / clusterSize);
  let next = (1 + tableClusters) * clusterSize;
  const entries = kinds.map((kind): BitmapTableEntry => {
    if (kind !== 'data') return { kind };
    next += clusterSize;
    return { kind, offset: hostOffset(next - clusterSize) };
  });
  const table = Buffer.alloc(tableClusters * clusterSize);
  table.set(encodeBitmapTable(entries));
  return new MemoryFile(Buffer.concat([Buffer.alloc(clusterSize), table, data]));
}

function bitmapOf(clusterBits: number, virtualSize: number, granularityBits: number): Bitmap {
  const tableEntries = bitmapTableEntries(virtualSize, granularityBits, 2 ** clusterBits);
  const tableOffset = hostOffset(2 ** clusterBits);
  return { name: 'b0', granularityBits, auto: true, inUse: false, tableOffset, tableEntries };
}

/** All clusters; bytes are copied, because the next cluster overwrites them. */
async function collect(clusters: AsyncIterable<BitmapCluster>): Promise<BitmapCluster[]> {
  const result: BitmapCluster[] = [];
  for await (const cluster of clusters) {
    result.push(cluster.kind === 'data' ? { kind: 'data', bytes: cluster.bytes.slice() } : cluster);
  }
  return result;
}

const bytesOf = (cluster: BitmapCluster, clusterSize: number) =>
  cluster.kind === 'data'
    ? cluster.bytes
    : new Uint8Array(clusterSize).fill(cluster.kind === 'ones' ? 0xff : 0);

/** The bits of the disk, one at a time: those of the source, and 0 past its end. */
function model(source: Uint8Array, sourceBits: number, targetBits: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let bit = 0; bit < Math.min(sourceBits, targetBits); bit += 1) {
    const at = Math.floor(bit / 8);
    bytes[at] = (bytes[at] ?? 0) | ((source[at] ?? 0) & (1 << (bit % 8)));
  }
  return bytes;
}

/** A disk with a few clusters of bits, a bitmap of equal runs, and another geometry for the target. */
const cuts = fc
  .record({
    clusterBits: fc.integer({ min: 9, max: 13 }),
    targetBits: fc.integer({ min: 9, max: 14 }),
    granularityBits: fc.integer({ min: 9, max: 20 }),
    granules: fc.integer({ min: 1, max: 100_000 }),
    sectors: fc.nat(100),
    growth: fc.oneof(fc.constant(0), fc.integer({ min: -2000, max: 20_000 })),
    runs: fc.array(fc.tuple(fc.constantFrom(0, 0xff, 0x5a), fc.nat(3000)), { minLength: 1, maxLength: 12 }),
    tail: fc.boolean(),
  })
  .map(({ clusterBits, targetBits, granularityBits, granules, sectors, growth, runs, tail }) => {
    const granule = 2 ** granularityBits;
    const virtualSize = granules * granule - Math.min(granule - 512, sectors * 512);
    const bits = Math.ceil(virtualSize / granule);
    const clusterSize = 2 ** clusterBits;
    const kinds: BitmapTableEntry['kind'][] = [];
    const source = new Uint8Array(
      bitmapTableEntries(virtualSize, granularityBits, clusterSize) * clusterSize,
    );
    let at = 0;
    for (let turn = 0; at < source.length; turn += 1) {
      const [value = 0, length = 0] = runs[turn % runs.length] ?? [];
      source.fill(value, at, at + length + 1);
      at += length + 1;
    }
    if (!tail) source.fill(0, Math.ceil(bits / 8));
    const data: Uint8Array[] = [];
    for (let start = 0; start < source.length; start += clusterSize) {
      const cluster = source.subarray(start, start + clusterSize);
      // Every second cluster stores its bits although it need not.
      const plain = kinds.length % 2 === 0 && cluster.every((byte) => byte === cluster[0]);
      const kind = plain && cluster[0] === 0 ? 'zeros' : plain && cluster[0] === 0xff ? 'ones' : 'data';
      kinds.push(kind);
      if (kind === 'data') data.push(cluster);
    }
    const file = imageWith(clusterBits, kinds, Buffer.concat(data));
    const target: Target = {
      clusterSize: 2 ** targetBits,
      virtualSize: Math.max(512, virtualSize + growth * 512),
    };
    const bitmap = bitmapOf(clusterBits, virtualSize, granularityBits);
    return { file, image: { clusterBits, virtualSize }, bitmap, source, bits, target };
  });

describe('readBitmap', () => {
  it('divides the bits of the source into clusters of the target, for any geometries', async () => {
    await fc.assert(
      fc.asyncProperty(cuts, async ({ file, image, bitmap, source, bits, target }) => {
        const clusters = await collect(readBitmap(file, image, bitmap, target));
        const { clusterSize, virtualSize } = target;
        expect(clusters.length).toBe(bitmapTableEntries(virtualSize, bitmap.granularityBits, clusterSize));
        const found = Buffer.concat(clusters.map((cluster) => bytesOf(cluster, clusterSize)));
        const targetBits = Math.ceil(virtualSize / 2 ** bitmap.granularityBits);
        expect(found.equals(model(source, bits, targetBits, found.length))).toBe(true);
        for (const cluster of clusters) {
          if (cluster.kind !== 'data') continue;
          expect(cluster.bytes.every((byte) => byte === 0)).toBe(false);
          expect(cluster.bytes.every((byte) => byte === 0xff)).toBe(false);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('never reports a partly used last cluster as all ones', async () => {
    const image = { clusterBits: 9, virtualSize: (4096 + 9) * 512 };
    const file = imageWith(9, ['ones', 'ones'], new Uint8Array(0));
    const target = { clusterSize: 512, virtualSize: image.virtualSize };
    const [first, last] = await collect(readBitmap(file, image, bitmapOf(9, image.virtualSize, 9), target));
    expect(first).toEqual({ kind: 'ones' });
    const bytes = new Uint8Array(512);
    bytes.set([0xff, 0x01]);
    expect(last).toEqual({ kind: 'data', bytes });
  });

  it('ignores the part of a disk after its last whole sector', async () => {
    const image = { clusterBits: 9, virtualSize: 4096 * 512 + 511 };
    const file = imageWith(9, ['ones'], new Uint8Array(0));
    const target = { clusterSize: 512, virtualSize: 4097 * 512 };
    expect(await collect(readBitmap(file, image, bitmapOf(9, 4096 * 512, 9), target))).toEqual([
      { kind: 'ones' },
      { kind: 'zeros' },
    ]);
  });

  it('reads only the table of the largest bitmap of zeros', async () => {
    const image = { clusterBits: 21, virtualSize: 2 ** 41 };
    const bitmap = bitmapOf(21, image.virtualSize, 9);
    const file = new MemoryFile(new Uint8Array(0), 2 ** 22);
    let clusters = 0;
    for await (const { kind } of readBitmap(file, image, bitmap, { ...image, clusterSize: 2 ** 21 })) {
      expect(kind).toBe('zeros');
      clusters += 1;
    }
    expect(clusters).toBe(256);
    expect(file.reads).toEqual([{ offset: 2 ** 21, length: 2048 }]);
  });

  it('refuses a disk that needs a larger bitmap than QEMU reads', async () => {
    const image = { clusterBits: 16, virtualSize: 2 ** 41 };
    const bitmap = bitmapOf(16, image.virtualSize, 9);
    const target = { clusterSize: 2 ** 16, virtualSize: 2 ** 41 + 512 };
    await expect(
      collect(readBitmap(new MemoryFile(new Uint8Array(0)), image, bitmap, target)),
    ).rejects.toMatchObject({ code: 'ERR_LIMIT', file: 'x.qcow2' });
  });

  it('requires exactly the used bytes of the last cluster of bits', async () => {
    const image = { clusterBits: 9, virtualSize: 100 * 8 * 512 };
    const bitmap = bitmapOf(9, image.virtualSize, 9);
    const target = { clusterSize: 512, virtualSize: image.virtualSize };
    const whole = imageWith(9, ['data'], new Uint8Array(100).fill(0x11));
    const bytes = new Uint8Array(512).fill(0x11, 0, 100);
    expect(await collect(readBitmap(whole, image, bitmap, target))).toEqual([{ kind: 'data', bytes }]);
    const cut = imageWith(9, ['data'], new Uint8Array(99).fill(0x11));
    await expect(collect(readBitmap(cut, image, bitmap, target))).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      offset: 1024,
      expected: 100,
      found: 99,
    });
  });

  it('reads no more clusters than the file can hold when bitmaps share them', async () => {
    const clusterBits = 21;
    const clusterSize = 2 ** clusterBits;
    const image = { clusterBits, virtualSize: 40 * clusterSize * 8 * 512 };
    const bytes = Buffer.alloc(3 * clusterSize, 0x5a);
    bytes.fill(0, 0, 2 * clusterSize);
    for (let entry = 0; entry < 40; entry += 1) {
      bytes.writeBigUInt64BE(BigInt(2 * clusterSize), clusterSize + 8 * entry);
    }
    const target = { clusterSize, virtualSize: image.virtualSize };
    const budget = new TableBudget({ name: 'x.qcow2', size: bytes.length }, 'bitmaps', 0);
    let clusters = 0;
    const read = async () => {
      const bitmap = bitmapOf(clusterBits, image.virtualSize, 9);
      for await (const _ of readBitmap(new MemoryFile(bytes), image, bitmap, target, budget)) clusters += 1;
    };
    await expect(read()).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      message: expect.stringMatching(/^The bitmaps in 'x.qcow2' share their bytes: /),
    });
    // One cluster holds the table.
    expect(clusters).toBe(2);
  });

  it('refuses a table that breaks the specification, naming the bitmap and the entry', async () => {
    const image = { clusterBits: 9, virtualSize: 2 * 4096 * 512 };
    const file = imageWith(9, ['ones', 'ones'], new Uint8Array(0));
    file.bytes[512 + 15] = 3;
    const target = { clusterSize: 512, virtualSize: image.virtualSize };
    await expect(
      collect(readBitmap(file, image, bitmapOf(9, image.virtualSize, 9), target)),
    ).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      offset: 520,
      message:
        "The table of bitmap 'b0' in 'x.qcow2' has an entry 0x3 at offset 520, expected no reserved bit",
    });
  });
});
