import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import { type Bitmap, encodeBitmapDirectory, readBitmapDirectory } from '../../src/qcow2/bitmap-directory.js';
import { type BitmapCluster, readBitmap } from '../../src/qcow2/bitmap-reader.js';
import { encodeBitmapTable } from '../../src/qcow2/bitmap-table.js';
import { decodeHeader } from '../../src/qcow2/header.js';
import { decodeExtensions, headerAreaBytes } from '../../src/qcow2/header-extensions.js';
import { findSnapshot } from '../../src/qcow2/snapshot-table.js';
import { useScratch } from '../e2e/scratch.js';
import { create } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { MemoryFile } from './memory-file.js';

const scratch = useScratch();
const MiB = 2 ** 20;

/** The format section of `qemu-img info`. */
interface Info {
  readonly snapshots?: readonly { readonly id: string; readonly name: string }[];
  readonly 'format-specific': {
    readonly data: {
      readonly bitmaps?: readonly {
        readonly name: string;
        readonly granularity: number;
        readonly flags: readonly string[];
      }[];
    };
  };
}

async function info(image: string): Promise<Info> {
  return JSON.parse(await runOk('qemu-img', ['info', '-f', 'qcow2', '--output=json', image])) as Info;
}

function open(image: string) {
  const file = MemoryFile.of(image);
  const header = decodeHeader(file.bytes, image);
  const { bitmaps } = decodeExtensions(file.bytes.subarray(0, headerAreaBytes(header)), header, image);
  return { file, header, extension: bitmaps };
}

async function openWithBitmaps(image: string) {
  const { file, header, extension } = open(image);
  const bitmaps = extension === undefined ? [] : await readBitmapDirectory(file, header, extension);
  return { file, header, bitmaps };
}

/** A bitmap as qemu-img reports it. */
const asReported = ({ name, granularityBits, inUse, auto }: Bitmap) => ({
  name,
  granularity: 2 ** granularityBits,
  flags: [...(inUse ? ['in-use'] : []), ...(auto ? ['auto'] : [])],
});

/** The dirty ranges of a bitmap in bytes of the disk, [from, to), as qcow2c reads it for clusters of `clusterSize`. */
async function dirtyRanges(
  { file, header, bitmaps }: Awaited<ReturnType<typeof openWithBitmaps>>,
  name: string,
  clusterSize: number,
) {
  const bitmap = bitmaps.find((one) => one.name === name);
  if (bitmap === undefined) throw new Error(`there is no bitmap ${name}`);
  const ranges: [from: number, to: number][] = [];
  let bit = 0;
  const add = (byte: number) => {
    for (let mask = 1; mask < 256; mask *= 2, bit += 1) {
      if ((byte & mask) === 0) continue;
      const from = bit * 2 ** bitmap.granularityBits;
      const to = Math.min(from + 2 ** bitmap.granularityBits, header.virtualSize);
      const last = ranges.at(-1);
      if (last?.[1] === from) last[1] = to;
      else ranges.push([from, to]);
    }
  };
  const bytesOf = (cluster: BitmapCluster) =>
    cluster.kind === 'data'
      ? cluster.bytes
      : new Uint8Array(clusterSize).fill(cluster.kind === 'ones' ? 255 : 0);
  const target = { clusterSize, virtualSize: header.virtualSize };
  for await (const cluster of readBitmap(file, header, bitmap, target)) bytesOf(cluster).forEach(add);
  return ranges;
}

const bitmap = (image: string, name: string, ...args: string[]) =>
  runOk('qemu-img', ['bitmap', '-f', 'qcow2', ...args, image, name]);

describe('bitmaps made by qemu-img', () => {
  it.each([
    ['clusters of 512 bytes', 512, 512],
    ['usual clusters', 65536, 65536],
    ['clusters of 2 MiB', 2 * MiB, 4096],
  ])('are found with their names, granularities, flags and bits with %s', async (_, clusterSize, finest) => {
    const image = scratch(`bitmaps-${clusterSize}.qcow2`);
    await create(image, 100 * MiB + 512, ['-o', `cluster_size=${clusterSize}`]);
    await bitmap(image, 'all', '--add', '-g', '64k');
    await bitmap(image, 'fine', '--add', '-g', `${finest}`);
    await bitmap(image, 'ohne Änderung №1', '--add', '--disable', '-g', '2G');
    await qemuIo(image, ['write -q 0 512', 'write -q 3M 64k', 'write -q 9M 4M', 'write -q 100M 512']);
    await bitmap(image, 'fine', '--disable');
    await qemuIo(image, ['write -q 50M 64k']);

    const { bitmaps: reported } = (await info(image))['format-specific'].data;
    expect(reported?.length).toBe(3);
    const opened = await openWithBitmaps(image);
    expect(opened.bitmaps.map(asReported)).toEqual(reported);

    const granule = 65536;
    const early = (size: number): [number, number][] => [
      [0, size],
      [3 * MiB, 3 * MiB + 65536],
      [9 * MiB, 13 * MiB],
      [100 * MiB, 100 * MiB + 512],
    ];
    const late: [number, number][] = [[50 * MiB, 50 * MiB + granule]];
    for (const cut of [512, 4096, 65536]) {
      expect(await dirtyRanges(opened, 'fine', cut)).toEqual(early(finest));
      expect(await dirtyRanges(opened, 'all', cut)).toEqual(
        [...early(granule), ...late].sort(([a], [b]) => a - b),
      );
      expect(await dirtyRanges(opened, 'ohne Änderung №1', cut)).toEqual([]);
    }
  });

  it('follow a disk that was resized', async () => {
    const image = scratch('resized.qcow2');
    await create(image, 10 * MiB, ['-o', 'cluster_size=4k']);
    await bitmap(image, 'b0', '--add', '-g', '512');
    await qemuIo(image, ['write -q 1M 1M']);
    await runOk('qemu-img', ['resize', '-q', image, '40M']);
    expect(await dirtyRanges(await openWithBitmaps(image), 'b0', 4096)).toEqual([[MiB, 2 * MiB]]);
    await runOk('qemu-img', ['resize', '-q', '--shrink', image, `${MiB + MiB / 2}`]);
    expect(await dirtyRanges(await openWithBitmaps(image), 'b0', 4096)).toEqual([[MiB, MiB + MiB / 2]]);
  });

  it('are inconsistent if their flag is set', async () => {
    const image = scratch('in-use.qcow2');
    await create(image, MiB);
    await bitmap(image, 'kept', '--add');
    await bitmap(image, 'lost', '--add');
    const bytes = readFileSync(image);
    const directory = open(image).extension?.directoryOffset ?? 0;
    bytes.writeUInt32BE(3, directory + 32 + 12);
    writeFileSync(image, bytes);
    const { bitmaps: reported } = (await info(image))['format-specific'].data;
    const { bitmaps: found } = await openWithBitmaps(image);
    expect(found.map(asReported)).toEqual(reported);
    expect(found.map(({ inUse }) => inUse)).toEqual([false, true]);
  });

  it('are ignored after a program without bitmap support wrote to the image', async () => {
    const image = scratch('autoclear.qcow2');
    await create(image, MiB);
    await bitmap(image, 'b0', '--add');
    const bytes = readFileSync(image);
    bytes.writeBigUInt64BE(0n, 88);
    writeFileSync(image, bytes);
    expect((await info(image))['format-specific'].data.bitmaps).toBeUndefined();
    expect((await openWithBitmaps(image)).bitmaps).toEqual([]);
  });
});

describe('encoded bitmaps', () => {
  it('are read by QEMU: zeros, ones and bits', async () => {
    const image = scratch('encoded.qcow2');
    const clusterSize = 512;
    // Three clusters of bits, the last of them full.
    const disk = 3 * clusterSize * 8 * 512;
    await create(image, disk, ['-o', `cluster_size=${clusterSize}`]);
    await bitmap(image, 'made by QEMU', '--add', '-g', '512');
    const { extension } = open(image);
    const directoryOffset = extension?.directoryOffset ?? 0;

    const bytes = readFileSync(image);
    const end = Math.ceil(bytes.length / clusterSize) * clusterSize;
    const bits = Buffer.alloc(clusterSize);
    bits[1] = 0x80;
    const table = encodeBitmapTable([
      { kind: 'zeros' },
      { kind: 'data', offset: hostOffset(end + clusterSize) },
      { kind: 'ones' },
    ]);
    // A name as long as the one written by QEMU, so that the extension stays valid.
    const directory = encodeBitmapDirectory([
      { name: 'made here ☺', granularityBits: 9, auto: true, tableOffset: hostOffset(end), tableEntries: 3 },
    ]);
    expect(directory.length).toBe(extension?.directorySize);
    const grown = Buffer.concat([bytes, Buffer.alloc(end + 2 * clusterSize - bytes.length)]);
    grown.set(directory, directoryOffset);
    grown.set(table, end);
    grown.set(bits, end + clusterSize);
    writeFileSync(image, grown);

    // QEMU's own copy holds only the bits that it read.
    const copy = scratch('copied-by-qemu.qcow2');
    await runOk('qemu-img', ['convert', '--bitmaps', '-f', 'qcow2', '-O', 'qcow2', image, copy]);
    const dirty = (clusterSize * 8 + 15) * 512;
    const expected = [
      [dirty, dirty + 512],
      [2 * clusterSize * 8 * 512, disk],
    ];
    const [here, there] = [await openWithBitmaps(image), await openWithBitmaps(copy)];
    expect(await dirtyRanges(there, 'made here ☺', 65536)).toEqual(expected);
    expect(await dirtyRanges(here, 'made here ☺', 512)).toEqual(expected);
    expect(there.bitmaps.map(asReported)).toEqual(here.bitmaps.map(asReported));
  });
});

describe('snapshots made by qemu-img', () => {
  it.each([
    ['version 3', ['-o', 'compat=1.1,cluster_size=512']],
    ['version 2', ['-o', 'compat=0.10']],
  ])('are found by identifier, with the name that qemu-img lists, in %s', async (kind, options) => {
    const image = scratch(`snapshots of ${kind}.qcow2`);
    await create(image, 10 * MiB, options);
    const names = ['first', '1', 'vor der Änderung №3', '', 'first', 'x'.repeat(200)];
    for (const [turn, name] of names.entries()) {
      await qemuIo(image, [`write -q -P ${turn + 1} ${turn}M 64k`]);
      await runOk('qemu-img', ['snapshot', '-c', name, image]);
    }
    const { snapshots = [] } = await info(image);
    expect(snapshots.map(({ name }) => name)).toEqual(names);
    const { file, header } = open(image);
    for (const { id, name } of snapshots) {
      expect(await findSnapshot(file, header, { id })).toMatchObject({
        id,
        name,
        l1Entries: header.l1Entries,
      });
      expect(await findSnapshot(file, header, { id, name })).toMatchObject({ id, name });
    }
    expect(await findSnapshot(file, header, { idOrName: '1' })).toMatchObject({ id: '1', name: 'first' });
    expect(await findSnapshot(file, header, { name: '1' })).toMatchObject({ id: '2', name: '1' });
    await expect(findSnapshot(file, header, { id: '7' })).rejects.toMatchObject({ code: 'ERR_USAGE' });
  });

  it('keep their own L1 table when the image grows', async () => {
    const image = scratch('grown.qcow2');
    await create(image, 64 * 1024, ['-o', 'cluster_size=512']);
    await runOk('qemu-img', ['snapshot', '-c', 'small', image]);
    await runOk('qemu-img', ['resize', '-q', image, '1M']);
    const { file, header } = open(image);
    expect(header.l1Entries).toBe(32);
    const { l1Entries, l1Offset } = await findSnapshot(file, header, { idOrName: 'small' });
    expect(l1Entries).toBe(2);
    expect(l1Offset).not.toBe(header.l1Offset);
  });
});
