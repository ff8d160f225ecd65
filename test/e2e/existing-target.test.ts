/** -n: the image that is there is written into, and stays what it is when that cannot be. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { create, type ImageInfo, info } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { run, runOk } from '../oracle/run.js';
import { convertWithBoth, expectSameGuest } from './beside-qemu-img.js';
import { cli, cliOk } from './cli.js';
import { clusterPlaces } from './cluster-places.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk, patchworkBytes } from './source-images.js';

const path = useScratch();
const raw = path('mixed.raw');
const MIB = 1024 * 1024;
const DISK = 2 * MIB + 512;
const disk = path('patchwork.raw');
beforeAll(async () => {
  await makeMixedDisk(raw);
  await writeFile(disk, patchworkBytes(DISK));
});

/** The format's fields and feature bits that an image keeps: all but sizes and offsets. */
async function features(image: string): Promise<Buffer> {
  const header = await readFile(image);
  return Buffer.concat([header.subarray(0, 8), header.subarray(20, 24), header.subarray(72, 105)]);
}

test('the image that was made before keeps its inode and gets the disk', async () => {
  const target = path('existing.qcow2');
  await create(target, (await stat(raw)).size);
  const { ino } = await stat(target);
  await cliOk(['convert', '-n', '-c', '-O', 'qcow2', raw, target]);
  expect((await stat(target)).ino).toBe(ino);
  await expectGoodImage(target, raw);
});

describe.each<[string, string[], string[], Partial<ImageInfo>]>([
  ['clusters of 4 KiB', ['-o', 'cluster_size=4k'], ['-c'], { clusterSize: 4096 }],
  ['clusters of 2 MiB', ['-o', 'cluster_size=2M'], [], { clusterSize: 2097152 }],
  ['zstd', ['-o', 'compression_type=zstd'], ['-c'], { compressionType: 'zstd' }],
  ['extended L2 entries', ['-o', 'extended_l2=on'], [], {}],
  ['extended L2 entries, to be compressed', ['-o', 'extended_l2=on'], ['-c'], {}],
  ['version 2', ['-o', 'compat=0.10'], ['-c'], { compat: '0.10' }],
  [
    'narrow, lazy refcounts',
    ['-o', 'refcount_bits=1,lazy_refcounts=on'],
    ['-c'],
    { refcountBits: 1, lazyRefcounts: true },
  ],
])('an empty image with %s', (_, created, flags, kept) => {
  test('keeps that, and a size larger than needed, as with qemu-img', async () => {
    const existing = path('empty.qcow2');
    await create(existing, DISK + 37 * MIB, created);
    const before = await features(existing);
    const args = ['-n', ...flags, '-f', 'raw', '-O', 'qcow2'];
    const both = await convertWithBoth(args, [disk], path('kept'), { existing });
    await expectSameGuest(both, 'qcow2');
    expect(await info(both.ours)).toMatchObject({ virtualSize: DISK + 37 * MIB, ...kept });
    expect(await features(both.ours)).toEqual(before);
  });
});

describe('an image in which something would be lost is refused and left alone', () => {
  const target = path('used.qcow2');
  const refused = (flags: readonly string[], line: RegExp) =>
    expectFailure(path(''), ['convert', '-n', ...flags, '-f', 'raw', '-O', 'qcow2', disk, target], line);
  const holds = (what: string) => new RegExp(`Cannot write into '.*used\\.qcow2': it .*${what}`);

  test.each<[string, () => Promise<unknown>, RegExp]>([
    ['guest data', () => qemuIo(target, ['write -P 0xaa 0 64k']), holds('guest data')],
    ['guest data far inside', () => qemuIo(target, ['write -P 0xaa 4000M 64k']), holds('guest data')],
    [
      'preallocated clusters',
      () => create(target, DISK, ['-o', 'preallocation=metadata']),
      holds('preallocated'),
    ],
    ['a backing file', () => create(target, DISK, ['-b', disk, '-F', 'raw']), holds('a backing file')],
    [
      'a data file',
      () => create(target, DISK, ['-o', `data_file=${path('data')}`]),
      holds('an external data file'),
    ],
    ['a snapshot', () => runOk('qemu-img', ['snapshot', '-c', 'one', target]), holds('internal snapshots')],
    ['a bitmap', () => runOk('qemu-img', ['bitmap', '--add', target, 'one']), holds('bitmaps')],
  ])('%s', async (_, prepare, line) => {
    await create(target, 5000 * MIB);
    await prepare();
    for (const flags of [['-c'], []]) await refused(flags, line);
  });

  test('a disk that is too small, in the words of qemu-img', async () => {
    await create(target, DISK - 512);
    const words = /output file is smaller than input file/;
    await refused(['-c'], words);
    const theirs = await run('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'qcow2', disk, target]);
    expect([theirs.status, theirs.stderr]).toEqual([1, expect.stringMatching(words)]);
  });
});

test('a stream fits into an image as large as it is, and not into a smaller one', async () => {
  const target = path('stream.qcow2');
  const under = ['sh', '-c', `cat '${disk}' | "$0" "$@"`];
  for (const flags of [['-c'], []]) {
    const args = ['convert', '-n', ...flags, '-f', 'raw', '-O', 'qcow2', '-', target];
    await create(target, DISK);
    await cliOk(args, { under });
    await expectGoodImage(target, disk);
    await create(target, DISK - 512);
    const before = await readFile(target);
    const { status, stderr } = await cli(args, { under });
    expect([status, stderr]).toEqual([1, expect.stringContaining(`more than the ${DISK - 512} bytes`)]);
    expect((await readFile(target)).equals(before)).toBe(true);
  }
});

test('-o with -n is refused: the image is there already', async () => {
  const target = path('there.qcow2');
  await create(target, DISK);
  const args = ['-n', '-o', 'cluster_size=4k', '-f', 'raw', '-O', 'qcow2', disk, target];
  const words = /-o has no effect when skipping image creation/;
  await expectFailure(path(''), ['convert', ...args], words);
  await expect(runOk('qemu-img', ['convert', ...args])).rejects.toThrow(words);
});

test('a conversion that fails leaves the image as it was', async () => {
  const [source, target] = [path('broken.qcow2'), path('safe.qcow2')];
  await cliOk(['convert', '-c', '-f', 'raw', raw, source]);
  const places = await clusterPlaces(source);
  const bytes = await readFile(source);
  bytes.fill(0xff, places.at(-2)!.from, places.at(-2)!.from + 16);
  await writeFile(source, bytes);
  await create(target, (await stat(raw)).size);
  const before = await readFile(target);
  for (const flags of [['-c', '--recompress'], ['-c'], []]) {
    const failed = await cli(['convert', '-n', ...flags, '-f', 'qcow2', '-O', 'qcow2', source, target]);
    expect([failed.status, failed.stderr]).toEqual([1, expect.stringContaining('cannot be read')]);
    expect((await readFile(target)).equals(before)).toBe(true);
  }
});

test('a target that is missing, smaller than the source or no image is refused and left alone', async () => {
  const convert = (name: string) => ['convert', '-n', '-c', '-O', 'qcow2', raw, path(name)];
  await expectFailure(path(''), convert('none.qcow2'), /'.*none\.qcow2': No such file or directory/);
  await create(path('smaller.qcow2'), 1024 * 1024);
  await expectFailure(path(''), convert('smaller.qcow2'), /'.*smaller\.qcow2'.*smaller|smaller than/i);
  await writeFile(path('text.qcow2'), 'no image at all');
  await expectFailure(path(''), convert('text.qcow2'), /'.*text\.qcow2' is not a qcow2 image/);
});
