/** The command line parses as qemu-img's does, option by option. */
import { stat } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { info } from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';
import { shortened } from '../stage.js';
import { cli, cliOk } from './cli.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeSparseDisk, randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const raw = path('disk.raw');
const image = path('image.qcow2');
const KIB = 1024;
beforeAll(() =>
  makeSparseDisk(raw, 1000 * KIB, [
    [0, textBytes(300 * KIB)],
    [400 * KIB, randomBytes(100 * KIB)],
    [600 * KIB, Buffer.alloc(100 * KIB)],
  ]),
);

describe('options', () => {
  test.each(
    shortened<[string[], Record<string, unknown>]>(
      [
        [['-c', raw, image], { clusterSize: 65_536, compat: '1.1', refcountBits: 16, lazyRefcounts: false }],
        [['-c', '-ocluster_size=4k', raw, image], { clusterSize: 4096 }],
        [['-c', '-o', 'compat=v2', raw, image], { compat: '0.10' }],
        [['-c', '-o', 'lazy_refcounts=on', raw, image], { lazyRefcounts: true }],
        [
          ['-c', '-o', 'cluster_size=4k', '-o', 'refcount_bits=8', raw, image],
          { clusterSize: 4096, refcountBits: 8 },
        ],
        [['-c', '-o', 'cluster_size=4k,cluster_size=8k', raw, image], { clusterSize: 8192 }],
        [['-c', '-o', 'cluster_size=4k', '-o', 'cluster_size=8k', raw, image], { clusterSize: 8192 }],
        [[raw, image, '-c', '-o', 'cluster_size=16k'], { clusterSize: 16_384 }],
        [[raw, '-c', image, '-Oqcow2'], { clusterSize: 65_536 }],
        [['-c', '-f', 'qcow2', '-f', 'raw', '-O', 'raw', '-O', 'qcow2', raw, image], { compat: '1.1' }],
        [['-cfraw', '-Oqcow2', '-m2', '-Wtnone', '-Tnone', '-S4k', raw, image], { compat: '1.1' }],
        [['--compress', '--source-format', 'raw', '--target-format=qcow2', raw, image], { compat: '1.1' }],
        [['-c', '-m', '1', '-W', '-t', 'directsync', '-T', 'writeback', '--', raw, image], { compat: '1.1' }],
      ],
      3,
    ),
  )('%j', async (args, expected) => {
    await cliOk(['convert', ...args]);
    const check = await expectGoodImage(image, raw);
    expect(check.compressedClusters).toBeGreaterThan(0);
    expect(await info(image)).toMatchObject({ virtualSize: 1000 * KIB, ...expected });
  });

  test('without -c a target that ends in .qcow2 gets normal clusters', async () => {
    await cliOk(['convert', raw, image]);
    expect((await expectGoodImage(image, raw)).compressedClusters).toBe(0);
  });

  test('-S 0 stores every cluster, zeros and holes too', async () => {
    for (const flags of [['-c'], ['-O', 'qcow2']]) {
      await cliOk(['convert', ...flags, '-S', '0', raw, image]);
      const { allocatedClusters, totalClusters } = await expectGoodImage(image, raw);
      expect(allocatedClusters).toBe(totalClusters);
    }
  });

  test('without -S clusters that hold only zeros are left out', async () => {
    for (const flags of [['-c'], ['-O', 'qcow2']]) {
      await cliOk(['convert', ...flags, '-o', 'cluster_size=4k', raw, image]);
      expect((await expectGoodImage(image, raw)).allocatedClusters).toBe(100);
    }
  });
});

describe('impossible options are refused by name', () => {
  const fails = (flags: string[], line: RegExp) =>
    expectFailure(path(''), ['convert', ...flags, raw, path('no.qcow2')], line);

  test.each([
    ['cluster_size=1000', /cluster size.*power of two/i],
    ['cluster_size=256', /cluster size/i],
    ['cluster_size=4M', /cluster size/i],
    ['cluster_size=0', /cluster size/i],
    ['cluster_size=many', /cluster_size/],
    ['compat=2', /compat.*'2'/],
    ['compat=0.10,refcount_bits=8', /refcount/i],
    ['compat=0.10,compression_type=zstd', /compression type|compression_type|zstd/i],
    ['compat=0.10,lazy_refcounts=on', /lazy refcounts|lazy_refcounts/i],
    ['refcount_bits=3', /refcount width|refcount_bits/i],
    ['refcount_bits=128', /refcount width|refcount_bits/i],
    ['compression_type=lzma', /compression_type.*'lzma'/],
    ['compression_level=fast', /compression_level/],
    ['compression_level=99', /level.*99|99.*level/],
    ['compression_level=-1', /level/],
    ['compression_window_bits=13', /compression_window_bits.*'13'/],
    ['lazy_refcounts=maybe', /lazy_refcounts/],
    ['preallocation=full', /Compression and preallocation not supported at the same time/],
    ['encryption=on', /Compression and encryption not supported at the same time/],
    ['encrypt.format=luks', /Compression and encryption not supported at the same time/],
    ['data_file=x', /Compression and data_file not supported at the same time/],
    ['unknown_key=1', /Invalid parameter 'unknown_key'/],
    ['unknown_key', /Invalid parameter 'unknown_key'/],
  ])('-o %s', (list, line) => fails(['-c', '-o', list], line));

  test.each([
    [['-c', '-O', 'raw'], /Compression not supported for this file format/],
    [['-c', '-O', 'vmdk'], /File format 'vmdk' is not supported/],
    [['-c', '-f', 'vmdk'], /vmdk/],
    [['-c', '-m', '0'], /threads '0'/],
    [['-c', '-m', 'many'], /threads 'many'/],
    [['-c', '-S', '1000'], /sparse/],
    [['-c', '-S', 'x'], /sparse/],
    [['-c', '-t', 'fast'], /Invalid cache option: fast/],
    [['-c', '-T', 'fast'], /Invalid source cache option: fast/],
    [['-c', '--compressed-cache-size', 'x'], /compressed cache size/],
    [['-c', '--progress=dots'], /progress.*dots/],
    [['-c', '--no-such-option'], /--no-such-option/],
    [['-c', '-Z'], /-Z/],
  ])('%j', (flags, line) => fails(flags, line));

  test('missing file names, no command and an unknown command', async () => {
    await expectFailure(path(''), ['convert', '-c'], /Must specify image file name/);
    await expectFailure(path(''), ['convert', '-c', raw], /Must specify image file name/);
    await expectFailure(path(''), [], /Not enough arguments/);
    await expectFailure(path(''), ['transmogrify'], /transmogrify/);
  });

  test('two commas in a value are one comma of it', () =>
    fails(['-c', '-o', 'compression_type=a,,b'], /'a,b'/));
});

describe('printed on request', () => {
  test('--version names qcow2c, Node.js, the engines and the optional packages with their versions', async () => {
    const { version } = JSON.parse(await runOk('cat', ['package.json'])) as { version: string };
    for (const flag of ['--version', '-V']) {
      const text = await cliOk([flag]);
      expect(text.split('\n')[0]).toBe(`qcow2c ${version}`);
      expect(text).toContain(process.version);
      for (const part of ['isal', 'libdeflate', 'libzstd', 'fs-ext', 'koffi']) {
        expect(text).toMatch(new RegExp(`^${part} +(?!not found)\\S.*$`, 'm'));
      }
    }
  });

  test('-h and --help, of the program and of the command, name every option', async () => {
    for (const flag of ['-h', '--help']) {
      expect(await cliOk([flag])).toMatch(/^Usage: qcow2c COMMAND/);
      const help = await cliOk(['convert', flag]);
      for (const option of '-c -f -O -o -p -q -S -m -W -t -T -n -v -h'.split(' ')) {
        expect(help).toMatch(new RegExp(`^ +${option}\\b`, 'm'));
      }
    }
  });

  test('-o help lists the keys and touches nothing', async () => {
    for (const args of [
      ['-o', 'help'],
      ['-c', '-o', 'help', raw, path('no.qcow2')],
      ['-o', '?', '-O', 'qcow2'],
    ]) {
      const text = await cliOk(['convert', ...args]);
      for (const key of [
        'cluster_size',
        'compat',
        'compression_type',
        'compression_level',
        'refcount_bits',
      ]) {
        expect(text).toContain(key);
      }
    }
    await expect(stat(path('no.qcow2'))).rejects.toThrow('ENOENT');
  });

  test('an option’s error with --debug also shows where it comes from', async () => {
    const { stderr } = await cli(['convert', '--debug', '-c', path('none.raw'), path('no.qcow2')]);
    expect(stderr).toMatch(/^qcow2c: .*none\.raw.*\n(.*\n)*.*ENOENT/);
  });
});
