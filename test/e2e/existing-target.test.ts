/** -n: writes into the existing image, which stays unchanged if that is impossible. */
import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { create, type ImageInfo, info } from '../oracle/qemu-img.js';
import { run, runOk } from '../oracle/run.js';
import { sample } from '../stage.js';
import { convertWithBoth, expectSameGuest } from './beside-qemu-img.js';
import { cli, cliOk } from './cli.js';
import { clusterPlaces } from './cluster-places.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { patchworkBytes } from './source-images.js';

const path = useScratch();
const MIB = 1024 * 1024;
/** Not whole clusters, and one work item, which needs no thread: some runs are processes. */
const DISK = MIB + 512;
const disk = path('patchwork.raw');
beforeAll(() => writeFile(disk, patchworkBytes(DISK)));

/** The format's fields and feature bits that an image keeps: all but sizes and offsets. */
async function features(image: string): Promise<Buffer> {
  const header = await readFile(image);
  return Buffer.concat([header.subarray(0, 8), header.subarray(20, 24), header.subarray(72, 105)]);
}

test('the image that was made before keeps its inode and gets the disk', async () => {
  const target = path('existing.qcow2');
  await create(target, DISK);
  const { ino } = await stat(target);
  await cliOk(['convert', '-n', '-c', '-O', 'qcow2', disk, target]);
  expect((await stat(target)).ino).toBe(ino);
  await expectGoodImage(target, disk);
});

const EMPTY_IMAGES: readonly [string, string[], string[], Partial<ImageInfo>][] = [
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
];

describe.each(sample(EMPTY_IMAGES, 2))('an empty image with %s', (_, created, flags, kept) => {
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

describe('an image that is too small is refused and left alone', () => {
  const target = path('used.qcow2');
  const refused = (flags: readonly string[], line: RegExp) =>
    expectFailure(path(''), ['convert', '-n', ...flags, '-f', 'raw', '-O', 'qcow2', disk, target], line);

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
  const pipe = { fifo: path('fifo'), command: `cat '${disk}'` };
  for (const flags of [['-c'], []]) {
    const args = ['convert', '-n', ...flags, '-f', 'raw', '-O', 'qcow2', pipe.fifo, target];
    await create(target, DISK);
    await cliOk(args, { pipe });
    await expectGoodImage(target, disk);
    await create(target, DISK - 512);
    const before = await readFile(target);
    const { status, stderr } = await cli(args, { pipe });
    expect([status, stderr]).toEqual([1, expect.stringContaining(`too small: it has ${DISK - 512} bytes`)]);
    expect((await readFile(target)).equals(before)).toBe(true);
  }
});

test('-o with -n is refused: the image exists already', async () => {
  const target = path('there.qcow2');
  await create(target, DISK);
  const args = ['-n', '-o', 'cluster_size=4k', '-f', 'raw', '-O', 'qcow2', disk, target];
  const words = /-o has no effect when skipping image creation/;
  await expectFailure(path(''), ['convert', ...args], words);
  await expect(runOk('qemu-img', ['convert', ...args])).rejects.toThrow(words);
});

test('a conversion that fails leaves the image unchanged', async () => {
  const [source, target] = [path('broken.qcow2'), path('safe.qcow2')];
  await cliOk(['convert', '-c', '-f', 'raw', disk, source]);
  const places = await clusterPlaces(source);
  const bytes = await readFile(source);
  bytes.fill(0xff, places.at(-2)!.from, places.at(-2)!.from + 16);
  await writeFile(source, bytes);
  await create(target, DISK);
  const before = await readFile(target);
  for (const flags of [['-c', '--recompress'], []]) {
    const failed = await cli(['convert', '-n', ...flags, '-f', 'qcow2', '-O', 'qcow2', source, target]);
    expect([failed.status, failed.stderr]).toEqual([1, expect.stringContaining('cannot be read')]);
    expect((await readFile(target)).equals(before)).toBe(true);
  }
});

test('a target that is missing or smaller than the source is refused and left alone', async () => {
  const convert = (name: string) => ['convert', '-n', '-c', '-O', 'qcow2', disk, path(name)];
  await expectFailure(path(''), convert('none.qcow2'), /'.*none\.qcow2': No such file or directory/);
  await create(path('smaller.qcow2'), MIB);
  await expectFailure(path(''), convert('smaller.qcow2'), /'.*smaller\.qcow2'.*smaller|smaller than/i);
});

describe('a file that holds no image gets one in place', () => {
  const target = path('in-place.qcow2');

  async function expectMade(args: readonly string[]): Promise<void> {
    const { ino } = await stat(target);
    await cliOk(['convert', '-n', '-c', ...args, '-f', 'raw', disk, target]);
    expect((await stat(target)).ino).toBe(ino);
    await expectGoodImage(target, disk);
  }

  test('when it is empty, with the options of a new image', async () => {
    await writeFile(target, '');
    await expectMade(['-o', 'compression_type=zstd,cluster_size=4k']);
    expect(await info(target)).toMatchObject({ clusterSize: 4096, compressionType: 'zstd' });
  });

  test('or a raw disk, which an empty file grows to', async () => {
    await writeFile(target, '');
    await cliOk(['convert', '-n', '-O', 'raw', '-f', 'raw', disk, target]);
    expect((await readFile(target)).equals(await readFile(disk))).toBe(true);
  });

  test('when it is as long as a disk but has no data', async () => {
    await writeFile(target, '');
    await truncate(target, 100 * MIB);
    await expectMade([]);
    expect((await stat(target)).size).toBeLessThan(4 * MIB);
  });

  test('when it holds the leftovers of a killed conversion', async () => {
    await writeFile(target, '');
    const killed = ['strace', '-f', '-qq', '-o', path('trace'), '-e', 'trace=ftruncate'];
    const inject = ['-e', 'inject=ftruncate:signal=KILL:when=1'];
    await cli(['convert', '-n', '-c', '-f', 'raw', disk, target], { under: [...killed, ...inject] });
    await expectMade([]);
    const unfinished = Buffer.alloc(3 * MIB, 'x');
    unfinished.write('qcow2c: this image was never finished\n');
    await writeFile(target, unfinished);
    await expectMade([]);
  });

  test('when it is bind-mounted, so that it cannot be replaced', async () => {
    const mounted = path('mounted.qcow2');
    await writeFile(mounted, '');
    await writeFile(target, '');
    const script = 'mount --bind "$0" "$1" && shift && exec "$@"';
    const args = ['convert', '-n', '-c', '-f', 'raw', disk, target];
    await cliOk(args, { under: ['unshare', '-m', 'sh', '-c', script, mounted, target] });
    await expectGoodImage(mounted, disk);
  });

  test('when it holds other data only if qcow2 is asked for; until the new header these are whole', async () => {
    const old = Buffer.alloc(5 * MIB, 'old data');
    await writeFile(target, old);
    const convert = ['convert', '-n', '-c', '-f', 'raw'];
    await expectFailure(
      path(''),
      [...convert, disk, target],
      /in-place\.qcow2' exists and holds raw data.*-O qcow2/,
    );
    const missing = await cli([...convert, '-O', 'qcow2', disk, target], {
      under: ['sh', '-c', 'ulimit -f 10256; exec "$0" "$@"'],
    });
    expect(missing.status).toBe(1);
    expect((await readFile(target)).equals(old)).toBe(true);
    await expectMade(['-O', 'qcow2']);
    // The blocks of the old data are given back.
    expect((await stat(target)).blocks * 512).toBeLessThan(4 * MIB);
  });

  test('but not with a backing file, or an option for an existing image', async () => {
    await writeFile(target, '');
    const convert = ['convert', '-n', '-c', '-f', 'raw', '-O', 'qcow2'];
    const backing = ['-B', disk, '-F', 'raw'];
    await expectFailure(
      path(''),
      [...convert, ...backing, disk, target],
      /cannot have a backing file.*qemu-img create -b/,
    );
    expect((await stat(target)).size).toBe(0);
    await create(target, DISK);
    const options = [...convert, '-o', 'cluster_size=4k', disk, target];
    await expectFailure(path(''), options, /-o has no effect when skipping image creation/);
  });
});

test('a target is read under the write lock: earlier writes of a guest are seen, and later ones are excluded', async () => {
  const target = path('locked.qcow2');
  await create(target, 4 * MIB);
  const trace = path('locks.trace');
  const calls = ['-y', '-e', 'trace=fcntl,pread64,fstat,newfstatat'];
  const under = ['strace', '-f', '--seccomp-bpf', '-qq', '-o', trace, ...calls];
  await cliOk(['convert', '-n', '-c', '-f', 'raw', '-O', 'qcow2', disk, target], { under });
  const lines = (await readFile(trace, 'latin1')).split('\n').filter((line) => line.includes('locked.qcow2'));
  const lastLock = lines.findLastIndex((line) => line.includes('F_OFD_SETLK'));
  const firstRead = lines.findIndex((line) => line.includes('pread64'));
  expect(lastLock).toBeGreaterThan(-1);
  expect(firstRead).toBeGreaterThan(lines.findIndex((line) => line.includes('F_OFD_SETLK')));
  expect(lines.slice(0, firstRead).filter((line) => line.includes('F_OFD_SETLK')).length).toBeGreaterThan(4);
});
