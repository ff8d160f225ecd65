/**
 * The statuses of layers and chains, as in QEMU's block layer. The strict comparisons of test/e2e/compare.test.ts prove
 * that they equal QEMU's exactly.
 */
import { statSync, truncateSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DiskStatus } from '../../src/compare/comparison-status.js';
import { type OpenedImage, type OpenedLayer, openImage } from '../../src/image/open-image.js';
import type { LayerRange } from '../../src/image/source.js';
import { useScratch } from '../e2e/scratch.js';
import { FakeLayer, type LayerStretch } from '../image/fake-layer.js';
import * as qemuImg from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';

const scratch = useScratch();
const [DATA, ZERO, OFFSET, ALLOCATED, EOF] = [0x01, 0x02, 0x04, 0x10, 0x20];
const KIB = 1024;
const GIB = 2 ** 30;

/** A status for each range, from the disk's first byte to its last. */
async function statusesOf(status: DiskStatus, size: number) {
  const found: [at: number, length: number, bits: number][] = [];
  for (let at = 0, length: number; at < size; at += length) {
    const told = await status.at(at);
    ({ length } = told);
    expect(length).toBeGreaterThan(0);
    found.push([at, length, told.bits]);
  }
  return found;
}

const raw = (...list: readonly LayerStretch[]): OpenedLayer => ({
  layer: new FakeLayer<LayerRange>('raw', list),
  format: 'raw',
  identity: 'raw',
  asNamed: true,
  qcow2: undefined,
});

async function withImage<T>(file: string, use: (image: OpenedImage) => Promise<T>): Promise<T> {
  const image = await openImage({ file, format: 'qcow2' }, undefined, { direct: false, isolated: false });
  try {
    return await use(image);
  } finally {
    await image.source.close();
  }
}

const statusesIn = (file: string) =>
  withImage(file, ({ layers, source }) => statusesOf(new DiskStatus(layers), source.size));

describe('the status', () => {
  test('of a raw image has the offsets of data and holes, and its end', async () => {
    const layer = raw({ kind: 'data', length: 5 }, { kind: 'zero', length: 7 }, { kind: 'data', length: 1 });
    expect(await statusesOf(new DiskStatus([layer]), 13)).toEqual([
      [0, 5, DATA | OFFSET | ALLOCATED],
      [5, 7, ZERO | OFFSET | ALLOCATED],
      [12, 1, DATA | OFFSET | ALLOCATED | EOF],
    ]);
  });

  test('of a qcow2 image distinguishes data, zeros and unallocated ranges, and ends with each L2 table', async () => {
    const image = scratch('one.qcow2');
    await qemuImg.create(image, 96 * KIB, ['-o', 'cluster_size=512']);
    await qemuIo(image, ['write 1k 1k', 'write -z 2k 512', 'write 3k 512', 'write -z 3k 512']);
    // A table of 64 entries covers 32 KiB.
    expect(await statusesIn(image)).toEqual([
      [0, KIB, ZERO],
      [KIB, KIB, DATA | OFFSET | ALLOCATED],
      [2 * KIB, 512, ZERO | ALLOCATED],
      [2.5 * KIB, 512, ZERO],
      [3 * KIB, 512, ZERO | OFFSET | ALLOCATED],
      [3.5 * KIB, 28.5 * KIB, ZERO],
      [32 * KIB, 32 * KIB, ZERO],
      [64 * KIB, 32 * KIB, ZERO | EOF],
    ]);
  });

  test('of a compressed cluster has no offset', async () => {
    const image = scratch('compressed.qcow2');
    await qemuImg.create(image, 128 * KIB);
    await qemuIo(image, ['write -c 0 64k', 'write -c 64k 64k']);
    expect(await statusesIn(image)).toEqual([
      [0, 64 * KIB, DATA | ALLOCATED],
      [64 * KIB, 64 * KIB, DATA | ALLOCATED | EOF],
    ]);
  });

  test("of unallocated ranges of an overlay is the backing file's, and zeros after its end", async () => {
    const [base, image] = [scratch('base.qcow2'), scratch('overlay.qcow2')];
    await qemuImg.create(base, 96 * KIB, ['-o', 'cluster_size=4k']);
    await qemuIo(base, ['write 0 8k', 'write 92k 4k']);
    await qemuImg.create(image, 160 * KIB, ['-o', 'cluster_size=4k', '-b', base, '-F', 'qcow2']);
    await qemuIo(image, ['write 4k 4k', 'write 128k 4k']);
    expect(await statusesIn(image)).toEqual([
      [0, 4 * KIB, DATA | OFFSET | ALLOCATED],
      [4 * KIB, 4 * KIB, DATA | OFFSET | ALLOCATED],
      [8 * KIB, 84 * KIB, ZERO],
      // The base ends here, and the overlay does not.
      [92 * KIB, 4 * KIB, DATA | OFFSET | ALLOCATED],
      [96 * KIB, 32 * KIB, ZERO | ALLOCATED],
      [128 * KIB, 4 * KIB, DATA | OFFSET | ALLOCATED],
      [132 * KIB, 28 * KIB, ZERO | ALLOCATED | EOF],
    ]);
  });

  test('of ranges in no image tells where the last image ends, as in QEMU', async () => {
    const [base, image] = [scratch('empty-base.qcow2'), scratch('empty-overlay.qcow2')];
    await qemuImg.create(base, 96 * KIB);
    await qemuImg.create(image, 160 * KIB, ['-b', base, '-F', 'qcow2']);
    expect(await statusesIn(image)).toEqual([
      [0, 96 * KIB, ZERO | EOF],
      [96 * KIB, 64 * KIB, ZERO | ALLOCATED | EOF],
    ]);
  });

  test('of large tables comes in slices of at most an int of bytes', async () => {
    const [slices, long] = [scratch('slices.qcow2'), scratch('long.qcow2')];
    // 32 MiB of tables are kept whole; more in pieces of 4 KiB, each for 512 clusters.
    for (const [size, length] of [
      [256 * GIB, GIB / 2 - KIB],
      [257 * GIB, 512 * 64 * KIB - KIB],
    ] as const) {
      await qemuImg.create(slices, size, ['-o', 'cluster_size=64k']);
      await withImage(slices, async ({ layers }) => {
        expect(await new DiskStatus(layers).at(GIB + KIB)).toEqual({ bits: ZERO, length });
      });
    }
    await qemuImg.create(long, 3 * GIB, ['-o', 'cluster_size=2M']);
    expect(await statusesIn(long)).toEqual([
      [0, 2 * GIB - 1, ZERO],
      [2 * GIB - 1, GIB + 1, ZERO | EOF],
    ]);
  });

  test('of an unreadable table ends the previous range, and is an error once it is reached', async () => {
    const image = scratch('cut.qcow2');
    await qemuImg.create(image, 2 * GIB, ['-o', 'cluster_size=128k']);
    await qemuIo(image, ['write -z 0 128k']);
    // The L2 table is last; its second half tells of the second GiB.
    truncateSync(image, statSync(image).size - 64 * KIB);
    await withImage(image, async ({ layers }) => {
      const status = new DiskStatus(layers);
      expect(await status.at(0)).toEqual({ bits: ZERO | ALLOCATED, length: 128 * KIB });
      expect(await status.at(128 * KIB)).toEqual({ bits: ZERO, length: GIB - 128 * KIB });
      await expect(status.at(GIB)).rejects.toMatchObject({ code: 'ERR_CORRUPT' });
    });
  });
});
