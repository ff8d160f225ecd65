/** `compare` beside `qemu-img compare`: pairs of images of every kind, and the built program's exit codes. */
import * as fs from 'node:fs';
import { copyFile, truncate, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import type { CompareWords } from '../../src/cli/compare/request.js';
import { type Comparison, comparable, ourCompare, theirCompare } from '../compare/run-compare.js';
import * as qemuImg from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { longTest, sample } from '../stage.js';
import { cli } from './cli.js';
import { clusterPlaces } from './cluster-places.js';
import { copyImages, filesOf, listImages } from './generated-images.js';
import { useScratch } from './scratch.js';
import { textBytes } from './source-images.js';

/** Of every kind that shows in a block status, few enough to be quick. */
const ONLY =
  '^(clusters/(512-v3-zlib|64k-v3-zstd|2m-v3-zlib)|packed/4k-v3-zlib|subclusters/(states-16k|over-qcow2-16k)|' +
  'data-files/absolute-name|layout/(cut-inside-the-last-cluster|preallocated-(metadata|falloc)-65536)|' +
  'sizes/(nothing|one-sector|more-than-whole-sectors)|chains/(depth-3|overlay-larger|middle-smaller))$';
const images = listImages(ONLY);
const path = useScratch();
beforeAll(() => copyImages(path(''), filesOf(images)));

async function expectAsQemuImg(comparison: Comparison): Promise<void> {
  const [ours, theirs] = await Promise.all([ourCompare(comparison), theirCompare(comparison)]);
  expect(comparable(ours), JSON.stringify(comparison)).toEqual(comparable(theirs));
}

const BOTH_QCOW2: CompareWords = { aFormat: 'qcow2', bFormat: 'qcow2' };
const WITH_RAW: CompareWords = { aFormat: 'qcow2', bFormat: 'raw' };

/** The same with a byte changed. @param at of the file, in bytes */
function changeByte(file: string, at: number): void {
  const descriptor = fs.openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  fs.readSync(descriptor, byte, 0, 1, at);
  fs.writeSync(descriptor, Buffer.from([(byte[0] ?? 0) ^ 0x40]), 0, 1, at);
  fs.closeSync(descriptor);
}

describe('the verdict equals qemu-img’s for', () => {
  test.each(sample(images, 3, 4))('$name and copies of it', async ({ file }) => {
    const image = path(file);
    const raw = `${image}.raw`;
    await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', image, raw]);
    const { size } = fs.statSync(raw);
    await expectAsQemuImg({ files: [image, image], words: { ...BOTH_QCOW2, strict: true } });
    for (const strict of [false, true]) {
      await expectAsQemuImg({ files: [image, raw], words: { ...WITH_RAW, strict } });
    }
    if (size > 0) {
      for (const at of [Math.floor(size / 1024) * 512 + 511, size - 1]) {
        await copyFile(raw, `${raw}.changed`);
        changeByte(`${raw}.changed`, at);
        await expectAsQemuImg({ files: [image, `${raw}.changed`], words: WITH_RAW });
      }
      await truncate(raw, size - 512);
      await expectAsQemuImg({ files: [image, raw], words: WITH_RAW });
    }
    await truncate(raw, size + 1536);
    await expectAsQemuImg({ files: [raw, image], words: { aFormat: 'raw', bFormat: 'qcow2' } });
    await expectAsQemuImg({ files: [raw, image], words: { aFormat: 'raw', bFormat: 'qcow2', strict: true } });
  });

  longTest('images and others', async () => {
    for (const [index, { file }] of images.entries()) {
      const other = images[(index + 1) % images.length]?.file ?? file;
      const words = { ...BOTH_QCOW2, strict: index % 2 === 0 };
      await expectAsQemuImg({ files: [path(file), path(other)], words });
    }
  });
});

describe('large disks are allocated in the same way, or not, as for qemu-img', () => {
  const GIB = 2 ** 30;
  // Tables that are looked at as a whole, in slices, and for more bytes than an int can count.
  test.each([
    [3 * GIB, ['64k', '2M', '512k', '4k', '64k,extended_l2=on']],
    [1024 * GIB, ['64k', '2M', '512k']],
  ])('of %i bytes', async (size, kinds) => {
    const made = kinds.map((_, index) => path(`large-${size}-${index}`));
    for (const [index, image] of made.entries()) {
      await qemuImg.create(image, size, ['-o', `cluster_size=${kinds[index]}`]);
      await qemuIo(image, ['write -z 1G 5M', 'write 2400M 4M']);
    }
    const pairs = made.flatMap((one, index) => made.slice(index).map((other) => [one, other] as const));
    for (const [index, files] of sample(pairs, 2, 4).entries()) {
      await expectAsQemuImg({ files, words: { ...BOTH_QCOW2, strict: index % 2 === 0 } });
    }
  });
});

const CLUSTER = 65_536;
const DISK = 48 * CLUSTER + 512;

/** Overwrites a part of a qcow2 image's file. @param guest index of a cluster of the disk */
async function damage(image: string, what: 'payload' | 'entry', guest: number): Promise<void> {
  const place = (await clusterPlaces(image)).find((found) => found.guest === guest);
  if (place === undefined) throw new Error(`${image} has no cluster ${guest}`);
  if (what === 'payload') return changeByte(image, place.from);
  // Bit 9 of an offset that must be a cluster's; the bit that says that the cluster is compressed goes.
  const descriptor = fs.openSync(image, 'r+');
  fs.writeSync(descriptor, Buffer.from('8000000000000200', 'hex'), 0, 8, place.l2EntryAt);
  fs.closeSync(descriptor);
}

describe('the error for unreadable ranges equals qemu-img’s', () => {
  const raw = path('disk.raw');
  const sound = path('sound.qcow2');
  beforeAll(async () => {
    await writeFile(raw, textBytes(DISK));
    await qemuImg.convert(['-c'], [raw], sound);
  });

  const copy = async (from: string, to: string) => {
    await copyFile(from, path(to));
    return path(to);
  };
  const [A_QCOW2, B_QCOW2] = [
    { aFormat: 'qcow2', bFormat: 'raw' },
    { aFormat: 'raw', bFormat: 'qcow2' },
  ] as const;

  test.each(['payload', 'entry'] as const)('a broken %s, alone and beside differences', async (what) => {
    const broken = await copy(sound, 'broken.qcow2');
    await damage(broken, what, 20);
    await expectAsQemuImg({ files: [broken, raw], words: A_QCOW2 });
    await expectAsQemuImg({ files: [raw, broken], words: B_QCOW2 });
    // Far before it, right before it, in its cluster and after it.
    for (const at of [5 * CLUSTER, 20 * CLUSTER - 1, 20 * CLUSTER, 21 * CLUSTER]) {
      const changed = await copy(raw, 'changed.raw');
      changeByte(changed, at);
      await expectAsQemuImg({ files: [broken, changed], words: A_QCOW2 });
      if (at >= 20 * CLUSTER) continue;
      await expectAsQemuImg({ files: [changed, broken], words: { ...B_QCOW2, strict: true } });
    }
  });

  test('two broken images, by turns the first', async () => {
    const [one, other, both] = ['one.qcow2', 'other.qcow2', 'both.qcow2'];
    for (const name of [one, other, both]) await copy(sound, name);
    await damage(path(one), 'payload', 20);
    await damage(path(other), 'payload', 30);
    for (const guest of [20, 30]) await damage(path(both), 'payload', guest);
    for (const [first, second] of [
      [one, other],
      [other, one],
      [both, other],
      [other, both],
    ] as const) {
      const words = { ...BOTH_QCOW2, strict: first === both };
      await expectAsQemuImg({ files: [path(first), path(second)], words });
    }
  });

  test('the rest of a longer image', async () => {
    const short = await copy(raw, 'short.raw');
    await truncate(short, 10 * CLUSTER);
    const zeros = path('zeros.raw');
    await writeFile(zeros, Buffer.alloc(DISK));
    for (const what of ['payload', 'entry'] as const) {
      const broken = await copy(sound, 'broken.qcow2');
      await damage(broken, what, 10);
      await expectAsQemuImg({ files: [short, broken], words: B_QCOW2 });
      await expectAsQemuImg({ files: [broken, short], words: A_QCOW2 });
      await damage(broken, what, 0);
      await expectAsQemuImg({ files: [broken, zeros], words: A_QCOW2 });
    }
  });
});

describe('the program ends', () => {
  const raw = path('end.raw');
  const image = path('end.qcow2');
  beforeAll(async () => {
    await writeFile(raw, textBytes(DISK));
    await qemuImg.convert(['-c'], [raw], image);
  });

  test('with 0 for identical disks, and shows its progress', async () => {
    const found = await cli(['compare', '--progress=qemu', '-m', '2', '-f', 'raw', raw, image]);
    expect(found).toMatchObject({ status: 0, stderr: '' });
    expect(found.stdout).toMatch(
      /^ {4}\(0\.00\/100%\)\r[^\n]*\(100\.00\/100%\)\r\nImages are identical\.\n$/,
    );
    expect(await cli(['compare', '-p', '-q', '-f', 'raw', raw, image])).toMatchObject({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });

  test('with 1 for different ones, before its end', async () => {
    const changed = path('changed.raw');
    await copyFile(raw, changed);
    changeByte(changed, 3 * CLUSTER);
    const found = await cli(['compare', '-p', '-f', 'raw', changed, image]);
    expect(found).toMatchObject({ status: 1, stderr: '' });
    expect(found.stdout).toMatch(/\r\nContent mismatch at offset 196608!\n$/);
    expect(found.stdout).not.toContain('100.00');
    expect(await cli(['compare', '-q', '-f', 'raw', changed, image])).toMatchObject({
      status: 1,
      stdout: '',
      stderr: '',
    });
  });

  test.each<[string, readonly string[]]>([
    ['no image', []],
    ['one image', [raw]],
    ['three images', [raw, image, image]],
    ['an unknown option', ['-Z', raw, image]],
    ['no such file', ['-f', 'raw', raw, path('missing')]],
    ['no image of the format', ['-f', 'qcow2', raw, image]],
    ['no format', ['-f', 'raw', '-F', 'foo', raw, image]],
    ['no cache mode', ['-T', 'foo', raw, image]],
    ['a format beside options', ['--image-opts', '-F', 'qcow2', `driver=raw,file.filename=${raw}`, image]],
    ['no number of threads', ['-m', '0', raw, image]],
    ['a secret', ['--object', 'secret,id=a,data=b', raw, image]],
    ['a directory', ['-F', 'raw', image, path('')]],
  ])(
    'with 2, because 1 means different images, for an image or option that it cannot open or use: %s',
    async (_, words) => {
      const found = await cli(['compare', ...words]);
      expect(found).toMatchObject({ status: 2, stdout: '' });
      expect(found.stderr).toMatch(/^qcow2c: .*\n$/);
    },
  );

  test('with 2 for an image that names a backing file, unless its format is given', async () => {
    const overlay = path('overlay.qcow2');
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', image, '-F', 'qcow2', overlay]);
    const found = await cli(['compare', '-F', 'raw', overlay, raw]);
    expect(found).toMatchObject({ status: 2, stdout: '' });
    expect(found.stderr).toContain('names the backing file');
    const stated = ['compare', '-f', 'qcow2', '-F', 'raw', overlay, raw];
    expect(await cli(stated)).toMatchObject({ status: 0, stdout: 'Images are identical.\n' });
  });

  test('with 3 for a broken table and with 4 for a broken cluster, with the error and its place', async () => {
    const broken = path('broken.qcow2');
    await copyFile(image, broken);
    await damage(broken, 'payload', 7);
    const unreadable = await cli(['compare', '-q', '-f', 'qcow2', '-F', 'raw', broken, raw]);
    expect(unreadable).toMatchObject({ status: 4, stdout: '' });
    expect(unreadable.stderr).toMatch(
      /^qcow2c: Error while reading offset 458752 of .*broken\.qcow2: Compressed cluster at guest offset 458752 .*\n$/,
    );
    await damage(broken, 'entry', 5);
    const unknown = await cli(['compare', '-q', '-f', 'qcow2', '-F', 'raw', broken, raw]);
    expect(unknown).toMatchObject({ status: 3, stdout: '' });
    expect(unknown.stderr).toMatch(
      /^qcow2c: Sector allocation test failed for .*broken\.qcow2: .* guest offset 327680: .*\n$/,
    );
  });

  test('the same way past the page cache and with options in the place of names', async () => {
    const options = [`driver=raw,file.filename=${raw}`, `driver=qcow2,file.filename=${image}`];
    const found = await cli(['compare', '-T', 'none', '-U', '--image-opts', ...options]);
    expect(found).toMatchObject({ status: 0, stdout: 'Images are identical.\n', stderr: '' });
  });
});
