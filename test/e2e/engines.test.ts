/** Every engine, forced: each gives images that other programs read; what an engine cannot do it says. */
import { stat } from 'node:fs/promises';
import zlib from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { extract } from '../oracle/seven-zip.js';
import { sample } from '../stage.js';
import { cli, cliOk } from './cli.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk } from './source-images.js';

const path = useScratch();
const raw = path('mixed.raw');
const image = path('image.qcow2');
beforeAll(() => makeMixedDisk(raw));

const NODE_HAS_ZSTD = 'zstdCompressSync' in zlib;

const ZLIB: [string, string[]][] = [
  ['isal', ['--engine', 'isal']],
  ['isal at its lowest level', ['--engine', 'isal', '-o', 'compression_level=0']],
  ['libdeflate', ['--engine', 'libdeflate']],
  ['libdeflate at its lowest level', ['--engine', 'libdeflate', '-o', 'compression_level=1']],
  ['libdeflate at its highest level', ['--engine', 'libdeflate', '-o', 'compression_level=12']],
  ['node', ['--engine', 'node']],
  ['node at its lowest level', ['--engine', 'node', '-o', 'compression_level=1']],
  ['node at its highest level', ['--engine', 'node', '-o', 'compression_level=9']],
  ['node with the window of qemu', ['--engine', 'node', '-o', 'compression_window_bits=12']],
  ['the window of qemu alone', ['-o', 'compression_window_bits=12']],
];

describe('zlib', () => {
  test.each(sample(ZLIB, 3))('%s: qemu-img and 7-Zip read the image', async (name, flags) => {
    await cliOk(['convert', '-c', ...flags, raw, image]);
    expect((await expectGoodImage(image, raw)).compressedClusters).toBeGreaterThan(0);
    const { ok, complaints, disk } = await extract(image, path(`extracted ${name}`));
    expect({ ok, complaints }).toEqual({ ok: true, complaints: [] });
    await runOk('cmp', [raw, disk]);
  });

  test('a higher level makes a smaller image', async () => {
    for (const [engine, lowest, highest] of [
      ['isal', 0, 2],
      ['libdeflate', 1, 12],
      ['node', 1, 9],
    ] as const) {
      const sizes: number[] = [];
      for (const level of [lowest, highest]) {
        await cliOk(['convert', '-c', '--engine', engine, '-o', `compression_level=${level}`, raw, image]);
        sizes.push((await stat(image)).size);
      }
      expect(sizes[1]).toBeLessThan(sizes[0]!);
    }
  });
});

describe('zstd', () => {
  test.each(sample(['1', '3', '19'], 1))('libzstd at level %s: qemu-img reads the image', async (level) => {
    const options = `compression_type=zstd,compression_level=${level}`;
    await cliOk(['convert', '-c', '--engine', 'libzstd', '-o', options, raw, image]);
    expect((await expectGoodImage(image, raw)).compressedClusters).toBeGreaterThan(0);
  });

  test('node: reads back if Node.js has zstd, and otherwise names what to install', async () => {
    const args = [
      'convert',
      '-c',
      '--engine',
      'node',
      '-o',
      'compression_type=zstd',
      raw,
      path('node.qcow2'),
    ];
    if (!NODE_HAS_ZSTD) return expectFailure(path(''), args, /zstd.*libzstd/);
    await cliOk(args);
    await expectGoodImage(path('node.qcow2'), raw);
  });
});

test('the engine of -v is the one that was forced', async () => {
  for (const engine of ['isal', 'libdeflate', 'node']) {
    const { stderr } = await cli(['convert', '-c', '-v', '--engine', engine, raw, image]);
    expect(stderr).toMatch(new RegExp(`^Compression: (by content, )?${engine},? levels? [\\d, ]+;`, 'm'));
  }
});

test('--fast, and level 1 alone, mean the fastest engine at its fastest level; --fast works with any engine', async () => {
  for (const [flags, engine] of [
    [['--fast'], 'isal, level 2;'],
    [['-o', 'compression_level=1'], 'isal, level 2;'],
    [['--fast', '--engine', 'isal'], 'isal, level 2;'],
    [['--fast', '--engine', 'libdeflate'], 'libdeflate, level 1;'],
    [['--fast', '-o', 'compression_type=zstd'], 'libzstd, level 1;'],
  ] as const) {
    const { stderr } = await cli(['convert', '-c', '-v', ...flags, raw, image]);
    expect(stderr).toContain(engine);
  }
});

test.each([
  [['--engine', 'libdeflate', '-o', 'compression_type=zstd'], /libdeflate.*zstd|zstd.*libdeflate/],
  [['--engine', 'libzstd'], /libzstd.*zlib|zlib.*libzstd/],
  [['--engine', 'libdeflate', '-o', 'compression_window_bits=12'], /libdeflate/],
  [['--engine', 'isal', '-o', 'compression_level=3'], /level.*3 is out of range for isal \(0 to 2\)/],
  [['--fast', '-o', 'compression_level=2'], /--fast and -o compression_level exclude each other/],
  [['--engine', 'libdeflate', '-o', 'compression_level=13'], /level.*13|13.*level/],
  [['--engine', 'node', '-o', 'compression_level=10'], /level.*10|10.*level/],
  [['--engine', 'libzstd', '-o', 'compression_type=zstd,compression_level=23'], /level.*23|23.*level/],
  [['--engine', 'gzip'], /gzip/],
])('%j is refused', (flags, line) =>
  expectFailure(path(''), ['convert', '-c', ...flags, raw, path('no.qcow2')], line),
);
