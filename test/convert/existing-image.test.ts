/**
 * -n into images with content: the source replaces the start of the disk, the rest and the snapshots are unchanged, no
 * cluster leaks, and the file does not grow from run to run. qemu-img makes the images and judges them.
 */
import { copyFile, readFile, stat, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { check as checkImage } from '../../src/check/check.js';
import type { ConvertOptions } from '../../src/convert/options.js';
import { useScratch } from '../e2e/scratch.js';
import { patchworkBytes, randomBytes } from '../e2e/source-images.js';
import { check, create, difference } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { longTest, sample } from '../stage.js';
import { convertHere } from './built-worker.js';

const path = useScratch();
const KIB = 1024;
const MIB = 1024 * KIB;
/** Ends inside a cluster of every size but 512 bytes. */
const SOURCE = 3 * MIB + 512;
const DISK = 9 * MIB;
const source = path('source.raw');
const target = path('target.qcow2');
const base = path('base.raw');
beforeAll(async () => {
  await writeFile(source, patchworkBytes(SOURCE));
  await writeFile(base, randomBytes(DISK, 5));
});

const into = (options: Partial<ConvertOptions> = {}) =>
  convertHere({
    ...{
      sources: [source],
      sourceFormat: 'raw',
      target,
      targetFormat: 'qcow2',
      keepTarget: true,
      threads: 1,
    },
    ...options,
  });

const disk = async (image: string, snapshot?: string): Promise<Buffer> => {
  const selected = snapshot === undefined ? [] : ['-l', snapshot];
  await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', ...selected, image, path('disk.raw')]);
  return readFile(path('disk.raw'));
};

/** The source's bytes, and behind them what `before` had. */
const expected = async (before: Buffer, name = source) => {
  const content = await readFile(name);
  return Buffer.concat([content, before.subarray(content.length)]);
};

async function expectSound(image = target): Promise<void> {
  expect(await check(image)).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
  expect(await checkImage({ image: { file: image } })).toMatchObject({
    corruptions: 0,
    leaks: 0,
    checkErrors: 0,
  });
}

const DATA = ['write -P 7 0 2M', 'write -P 8 2900k 400k', 'write -P 9 5M 3M'];

const KINDS: readonly (readonly [string, readonly string[]])[] = [
  ['the usual clusters', []],
  ['clusters of 512 bytes', ['-o', 'cluster_size=512']],
  ['clusters of 2 MiB', ['-o', 'cluster_size=2M']],
  ['extended L2 entries', ['-o', 'extended_l2=on']],
  ['version 2', ['-o', 'compat=0.10']],
  ['wide refcounts', ['-o', 'refcount_bits=64']],
  ['zstd', ['-o', 'compression_type=zstd']],
  ['preallocated tables', ['-o', 'preallocation=metadata']],
  ['preallocated clusters', ['-o', 'preallocation=full']],
  ['a backing file', ['-b', base, '-F', 'raw']],
  ['a backing file and version 2', ['-b', base, '-F', 'raw', '-o', 'compat=0.10']],
  ['a backing file and extended L2 entries', ['-b', base, '-F', 'raw', '-o', 'extended_l2=on']],
];

/** Each kind with and without compression. */
const WAYS = KINDS.flatMap(([name, created]) =>
  [true, false].map((compress) => [name, compress, created] as const),
);

test.each(sample(WAYS, 2, 3))(
  'an image with %s: the start of the disk is replaced (compressed: %s), and the data after it kept',
  async (_, compress, created) => {
    await create(target, DISK, created);
    await qemuIo(target, DATA);
    const before = await disk(target);
    await runOk('qemu-img', ['snapshot', '-c', 'one', target]);
    await qemuIo(target, ['write -P 11 1M 6M']);
    const now = await disk(target);
    await into({ compress, verify: true });
    expect((await disk(target)).equals(await expected(now))).toBe(true);
    expect((await disk(target, 'one')).equals(before)).toBe(true);
    await expectSound();
  },
);

test('refcounts of one bit, which allow no snapshot, are rebuilt too', async () => {
  await create(target, DISK, ['-o', 'refcount_bits=1']);
  await qemuIo(target, DATA);
  const before = await disk(target);
  await into({ compress: true });
  expect((await disk(target)).equals(await expected(before))).toBe(true);
  await expectSound();
});

test('zeros of the source become zero clusters over a backing file', async () => {
  await create(target, DISK, ['-b', base, '-F', 'raw']);
  await writeFile(path('zeros.raw'), Buffer.alloc(DISK));
  await into({ sources: [path('zeros.raw')], compress: true });
  const map = await runOk('qemu-img', ['map', '--output=json', target]);
  expect(JSON.parse(map)).toMatchObject([{ start: 0, length: DISK, depth: 0, zero: true, data: false }]);
  expect((await stat(target)).size).toBeLessThan(MIB);
});

test('an empty source changes nothing', async () => {
  await create(target, DISK);
  await qemuIo(target, DATA);
  const before = await disk(target);
  await create(path('none.qcow2'), 0);
  await into({ sources: [path('none.qcow2')], sourceFormat: 'qcow2' });
  expect((await disk(target)).equals(before)).toBe(true);
  await expectSound();
});

test('in a large disk the tables after the source keep their offsets', async () => {
  await create(target, 5000 * MIB);
  await qemuIo(target, ['write -P 1 0 1M', 'write -P 2 600M 1M', 'write -P 3 4000M 1M']);
  await into({ compress: true });
  await qemuIo(target, ['read -P 2 600M 1M', 'read -P 3 4000M 1M', 'read -P 0 4M 60M']);
  expect(await difference(source, target)).toMatch(/mismatch|larger/);
  await expectSound();
});

longTest(
  'an image does not grow when it is written into repeatedly',
  async () => {
    await create(target, DISK);
    await qemuIo(target, ['write -P 1 8M 1M']);
    await runOk('qemu-img', ['snapshot', '-c', 'one', target]);
    const NOISE = 3 * MIB;
    const noise = path('noise.raw');
    await writeFile(noise, randomBytes(NOISE, 3));
    const lengths: number[] = [];
    for (let run = 0; run < 6; run += 1) {
      await into({ sources: [noise], compress: true });
      lengths.push((await stat(target)).size);
    }
    // The new image, the old one, and what the snapshot holds.
    expect(Math.max(...lengths)).toBeLessThan(2 * NOISE + 4 * MIB);
    expect(lengths.slice(2, 4)).toEqual(lengths.slice(4, 6));
    const { blocks } = await stat(target);
    expect(blocks * 512).toBeLessThan(NOISE + 3 * MIB);
    await expectSound();
  },
  60_000,
);

test('leaked clusters are reused, and a dirty image is clean afterwards', async () => {
  await create(target, DISK, ['-o', 'lazy_refcounts=on']);
  await qemuIo(target, DATA);
  const before = await disk(target);
  const bytes = await readFile(target);
  // The dirty bit, and a refcount of a cluster that holds data set to 0.
  bytes[79] = 1;
  const table = Number(bytes.readBigUInt64BE(48));
  const block = Number(bytes.readBigUInt64BE(table));
  bytes.writeUInt16BE(0, block + 2 * 6);
  bytes.writeUInt16BE(1, block + 2 * 2000);
  await writeFile(target, bytes);
  await into({ compress: true });
  expect((await readFile(target))[79]).toBe(0);
  expect((await disk(target)).equals(await expected(before))).toBe(true);
  await expectSound();
});

test('unknown header extensions and compatible bits are kept', async () => {
  await create(target, DISK, ['-b', base, '-F', 'raw']);
  const bytes = await readFile(target);
  // An unknown extension in the place of the feature names, an unknown compatible and an unknown autoclear bit.
  const at = bytes.indexOf(Buffer.from('6803f857', 'hex'));
  bytes.writeUInt32BE(0x12345678, at);
  bytes[80] = 0x80;
  bytes[88] = 0x80;
  await writeFile(target, bytes);
  await into();
  const after = await readFile(target);
  expect([after.readUInt32BE(at), after[80], after[88]]).toEqual([0x12345678, 0x80, 0]);
  expect(after.subarray(at, at + 1024).equals(bytes.subarray(at, at + 1024))).toBe(true);
});

test('unknown autoclear bits are cleared before any other write, and stay cleared after an error', async () => {
  await create(target, DISK);
  await qemuIo(target, DATA);
  const bytes = await readFile(target);
  bytes[88] = 0x80;
  await writeFile(target, bytes);
  // Its last payload is broken.
  const broken = path('broken.qcow2');
  await runOk('qemu-img', ['convert', '-c', '-f', 'raw', '-O', 'qcow2', source, broken]);
  const image = await readFile(broken);
  await writeFile(broken, image.subarray(0, image.length - 4096));
  await expect(into({ sources: [broken], sourceFormat: 'qcow2' })).rejects.toMatchObject({
    code: 'ERR_CORRUPT',
  });
  bytes[88] = 0;
  expect((await readFile(target)).equals(bytes)).toBe(true);
});

describe('bitmaps of the target', () => {
  /** The set bits of a bitmap, in bytes of the disk, as qemu-img merges them into an empty image's bitmap. */
  async function info() {
    const { 'format-specific': specific } = JSON.parse(
      await runOk('qemu-img', ['info', '--output=json', target]),
    );
    return specific.data.bitmaps;
  }

  test('are kept, and enabled ones record the writes, as with qemu-img', async () => {
    const theirs = path('theirs.qcow2');
    await create(target, DISK);
    for (const args of [
      ['--add', target, 'enabled'],
      ['--add', '--disable', target, 'disabled'],
    ]) {
      await runOk('qemu-img', ['bitmap', ...args]);
    }
    await qemuIo(target, ['write -P 5 8M 64k']);
    await copyFile(target, theirs);
    await into({ compress: true });
    await runOk('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'qcow2', source, theirs]);
    await expectSound();
    const before = await info();
    expect(before).toHaveLength(2);
    for (const name of ['enabled', 'disabled']) {
      expect(await bitsOf(target, name)).toEqual(await bitsOf(theirs, name));
    }
    expect(await bitsOf(target, 'enabled')).toEqual([...Array(49).keys(), 128]);
  });

  test("with the name of a source's bitmap are an error", async () => {
    const named = path('named.qcow2');
    for (const image of [target, named]) {
      await create(image, DISK);
      await runOk('qemu-img', ['bitmap', '--add', image, 'one']);
    }
    const before = await readFile(target);
    const failed = into({ sources: [named], sourceFormat: 'qcow2', bitmaps: 'all' });
    await expect(failed).rejects.toThrow('Failed to create bitmap one: Bitmap already exists: one');
    expect((await readFile(target)).equals(before)).toBe(true);
    await runOk('qemu-img', ['bitmap', '--add', named, 'two']);
    await runOk('qemu-img', ['bitmap', '--remove', named, 'one']);
    await into({ sources: [named], sourceFormat: 'qcow2', bitmaps: 'all' });
    expect((await info()).map(({ name }: { name: string }) => name)).toEqual(['one', 'two']);
    await expectSound();
  });

  /** The granules whose bit is set, read from the file by the format's description. */
  async function bitsOf(image: string, name: string): Promise<number[]> {
    const { readBitmapDirectory } = await import('../../src/qcow2/bitmap-directory.js');
    const { readBitmap } = await import('../../src/qcow2/bitmap-reader.js');
    const { readCheckedImage } = await import('../../src/check/checked-image.js');
    const { openRawSource } = await import('../../src/raw/raw-source.js');
    const file = await openRawSource(image, false);
    try {
      const { header, extensions } = await readCheckedImage(file);
      const bitmaps = await readBitmapDirectory(file, header, extensions.bitmaps!);
      const bitmap = bitmaps.find((found) => found.name === name)!;
      const set: number[] = [];
      const layout = { clusterSize: 65536, virtualSize: DISK };
      for await (const cluster of readBitmap(file, header, bitmap, layout)) {
        if (cluster.kind !== 'data') continue;
        for (let bit = 0; bit < DISK / 65536; bit += 1) {
          if (((cluster.bytes[Math.floor(bit / 8)]! >> (bit % 8)) & 1) === 1) set.push(bit);
        }
      }
      return set;
    } finally {
      await file.close();
    }
  }
});

describe('an image that cannot be kept is refused with a remedy, and unchanged', () => {
  test.each<[string, (bytes: Buffer) => void, RegExp]>([
    [
      'marked corrupt',
      (bytes) => bytes.writeUInt8(2, 79),
      /marked corrupt; repair it with 'qcow2c check -r all'/,
    ],
    ['with an L2 entry past the end of the file', breakEntry, /tables are damaged .*'qcow2c check -r all'/],
    ['with a refcount too low', lowerRefcount, /tables are damaged .*'qcow2c check -r all'/],
    ['encrypted', (bytes) => bytes.writeUInt32BE(1, 32), /it is encrypted; .*qemu-img/],
  ])('%s', async (_, change, words) => {
    await create(target, DISK);
    await qemuIo(target, DATA);
    const bytes = await readFile(target);
    change(bytes);
    await writeFile(target, bytes);
    await expect(into({ compress: true })).rejects.toThrow(words);
    expect((await readFile(target)).equals(bytes)).toBe(true);
  });

  test('with an external data file', async () => {
    await create(target, DISK, ['-o', `data_file=${path('data.raw')}`]);
    await expect(into()).rejects.toThrow(/external data file.*convert without -n/);
  });

  function breakEntry(bytes: Buffer): void {
    const l1 = Number(bytes.readBigUInt64BE(40));
    const l2 = Number(bytes.readBigUInt64BE(l1) & 0x00fffffffffffe00n);
    bytes.writeBigUInt64BE(2n ** 63n + 2n ** 40n, l2);
  }

  function lowerRefcount(bytes: Buffer): void {
    const block = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(48))));
    bytes.writeUInt16BE(0, block + 2 * 6);
  }
});
