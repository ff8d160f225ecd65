/** -o data_file=: the clusters in a file of their own, the tables in the image. */
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { run, runOk } from '../oracle/run.js';
import { shortened } from '../stage.js';
import { type Both, convertWithBoth, expectBothRefuse, expectSameRanges } from './beside-qemu-img.js';
import { cliOk } from './cli.js';
import { clusterPlaces } from './cluster-places.js';
import { expectFailure, snapshot } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { patchworkBytes } from './source-images.js';

const path = useScratch();
const raw = path('disk.raw');
const bytes = patchworkBytes(3000 * 1024 + 512);
const image = path('image.qcow2');
const data = path('image.data');
const args = ['-f', 'raw', '-O', 'qcow2'];

beforeAll(() => writeFile(raw, bytes));

/** The data file in the output of `qemu-img info`. */
async function dataFileOf(file: string, cwd = path('')): Promise<Record<string, unknown>> {
  const output = await runOk('qemu-img', ['info', '-f', 'qcow2', '--output=json', file], { cwd });
  const { 'data-file': name, 'data-file-raw': isRaw } = JSON.parse(output)['format-specific'].data;
  return { name, isRaw };
}

test.each(
  shortened(
    [
      '',
      ',cluster_size=512',
      ',cluster_size=4k',
      ',cluster_size=2M',
      ',extended_l2=on',
      ',data_file_raw=on',
      ',data_file_raw=on,cluster_size=4k',
      ',preallocation=metadata,cluster_size=4k',
    ],
    4,
  ),
)('data_file=NAME%s makes an image with the ranges of qemu-img', async (options) => {
  const named = (program: keyof Both) => path(`${program}.data`);
  const withOptions = (program: keyof Both) => [...args, '-o', `data_file=${named(program)}${options}`];
  const both = await convertWithBoth(withOptions, [raw], path('image'));
  await expectSameRanges(both, 'qcow2');
  const isRaw = options.includes('data_file_raw');
  expect(await dataFileOf(both.theirs)).toEqual({ name: named('theirs'), isRaw });
  expect(await dataFileOf(both.ours)).toEqual({ name: named('ours'), isRaw });
  // A new file has no other bytes than the disk's, raw or not; and there are none in the image.
  expect((await readFile(named('ours'))).equals(bytes)).toBe(true);
  expect((await stat(both.ours)).size).toBeLessThanOrEqual((await stat(both.theirs)).size + 3 * 4096);
});

test.each(['falloc', 'full'])(
  'preallocation=%s gives the data file all its blocks',
  async (preallocation) => {
    await cliOk(['convert', ...args, '-o', `data_file=${data},preallocation=${preallocation}`, raw, image]);
    await expectGoodImage(image, raw);
    expect((await stat(data)).blocks * 512).toBeGreaterThanOrEqual(bytes.length);
  },
);

test('a relative name is one in the working directory, for qemu-img and for us', async () => {
  const [here, there] = [path('here'), path('there')];
  await Promise.all([mkdir(here), mkdir(there)]);
  await cliOk(['convert', ...args, '-o', 'data_file=disk.data', raw, '../there/disk.qcow2'], { cwd: here });
  expect((await readFile(join(here, 'disk.data'))).equals(bytes)).toBe(true);
  expect(await dataFileOf('../there/disk.qcow2', here)).toEqual({ name: 'disk.data', isRaw: false });
  const compare = ['compare', '-f', 'raw', '-F', 'qcow2', raw, '../there/disk.qcow2'];
  expect((await run('qemu-img', compare, { cwd: here })).stdout).toBe('Images are identical.\n');
  await cliOk(['convert', '-f', 'qcow2', '-O', 'raw', '../there/disk.qcow2', 'back.raw'], { cwd: here });
  expect((await readFile(join(here, 'back.raw'))).equals(bytes)).toBe(true);
  const missing =
    /Could not open 'disk\.qcow2': Could not open data file: .*'disk\.data': No such file or directory/;
  const lost = ['convert', '-f', 'qcow2', '-O', 'raw', 'disk.qcow2', 'lost.raw'];
  await expectFailure(there, lost, missing, { cwd: there });
});

test('over a backing file only differing clusters are in the data file, and zeros hide data below', async () => {
  const base = path('base.raw');
  const below = Buffer.from(bytes);
  below.fill(0x11, 1024 * 1024, 1024 * 1024 + 300_000);
  below.fill(0, 2 * 1024 * 1024, 2 * 1024 * 1024 + 200_000);
  await writeFile(base, below);
  for (const options of ['', ',extended_l2=on', ',extended_l2=on,preallocation=metadata']) {
    await cliOk([
      'convert',
      ...args,
      '-B',
      base,
      '-F',
      'raw',
      '-o',
      `data_file=${data}${options}`,
      raw,
      image,
    ]);
    await expectGoodImage(image, raw);
    expect((await stat(data)).blocks * 512).toBeLessThan(800_000);
  }
});

test('a stream gets a data file that ends where it ends', async () => {
  const pipe = { fifo: path('fifo'), command: `cat '${raw}'` };
  await cliOk(['convert', ...args, '-o', `data_file=${data},data_file_raw=on`, pipe.fifo, image], { pipe });
  await expectGoodImage(image, raw);
  expect((await readFile(data)).equals(bytes)).toBe(true);
});

describe('refused combinations', () => {
  test('is refused, in the words of qemu-img', async () => {
    const target = path('none.qcow2');
    const refused = (options: string, words: RegExp, more: string[] = []) =>
      expectBothRefuse([...args, ...more, '-o', options, raw], target, words);
    await refused('data_file_raw=on', /data-file-raw requires data-file/);
    await refused(
      'data_file=x,compat=0.10',
      /External data files are only supported with compatibility level 1\.1/,
    );
    const over = ['-B', raw, '-F', 'raw'];
    await refused(
      'data_file=x,data_file_raw=on',
      /Backing file and data-file-raw cannot be used at the same time/,
      over,
    );
    await rm(path('x'), { force: true });
  });

  test('is refused: compression, and a data file that is the source, the target or the backing file', async () => {
    const refused = (name: string, words: RegExp, more: string[] = []) =>
      expectFailure(
        path(''),
        ['convert', ...args, ...more, '-o', `data_file=${name}`, raw, path('none.qcow2')],
        words,
      );
    await refused('x', /Compression and data_file not supported at the same time/, ['-c']);
    await refused(raw, /'.*disk\.raw'/);
    await refused(path('none.qcow2'), /'.*none\.qcow2'/);
    await refused(path('base.raw'), /'.*base\.raw'/, ['-B', path('base.raw'), '-F', 'raw']);
  });

  test('leaves an old image and its data file as they were', async () => {
    await cliOk(['convert', ...args, '-o', `data_file=${data}`, raw, image]);
    const broken = path('broken.qcow2');
    await cliOk(['convert', '-c', '-f', 'raw', raw, broken]);
    const damaged = await readFile(broken);
    const [first] = await clusterPlaces(broken);
    damaged.fill(0xff, first!.from, first!.from + 1000);
    await writeFile(broken, damaged);
    const before = snapshot(path(''));
    const convert = ['convert', '-f', 'qcow2', '-O', 'qcow2', '-o', `data_file=${data}`, broken, image];
    await expectFailure(path(''), convert, /cannot be read/);
    expect(snapshot(path(''))).toEqual(before);
    await expectGoodImage(image, raw);
  });
});
