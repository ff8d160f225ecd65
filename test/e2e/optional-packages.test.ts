/** Installations in which packages that need a compiler, or the bridge to native engines, are missing. */
import { rm } from 'node:fs/promises';
import zlib from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { sample } from '../stage.js';
import { cli, cliOk } from './cli.js';
import { expectFailure } from './failures.js';
import { installWithout } from './installation.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk, makeSparseDisk } from './source-images.js';

const path = useScratch();
const raw = path('mixed.raw');
const image = path('image.qcow2');
const GIB = 2 ** 30;
beforeAll(async () => {
  await makeMixedDisk(path('sparse-mixed.raw'));
  // Without holes: what is said of them has a test of its own.
  await runOk('cp', ['--sparse=never', path('sparse-mixed.raw'), raw]);
});

describe.each(
  sample(
    [
      ['fs-ext and koffi', ['fs-ext', 'koffi'], 'node', undefined],
      ['fs-ext', ['fs-ext'], 'libdeflate', 'koffi'],
      ['koffi', ['koffi'], 'node', 'fs-ext'],
    ],
    1,
  ),
)('without %s', (name, missing, engine, lseek) => {
  let program = '';
  beforeAll(async () => {
    program = await installWithout(missing, path(name));
  });

  test('--version says what is missing and fails at nothing', async () => {
    const text = await cliOk(['--version'], { program });
    for (const part of missing) expect(text).toMatch(new RegExp(`^${part} +not found$`, 'm'));
    expect(text).toMatch(new RegExp(`^lseek +${lseek ?? 'not found'}$`, 'm'));
  });

  test(`zlib images come out right, made by ${engine}`, async () => {
    for (const flags of [
      ['-c', '-o', 'cluster_size=4k,compat=0.10'],
      ['-O', 'qcow2'],
    ]) {
      // What a replaced file cannot keep without koffi has a test of its own.
      await rm(image, { force: true });
      await cliOk(['convert', ...flags, raw, image], { program });
      await expectGoodImage(image, raw);
    }
  });

  test('zstd images come out right, or one line says what to install', async () => {
    const args = ['convert', '-c', '-o', 'compression_type=zstd', raw, path('zstd.qcow2')];
    if (engine === 'node' && !('zstdCompressSync' in zlib)) {
      return expectFailure(path(''), args, /zstd.*(install|libzstd)/i, { program });
    }
    await cliOk(args, { program });
    await expectGoodImage(path('zstd.qcow2'), raw);
  });

  test('holes are found with what is there, or one warning says that they are not', async () => {
    const [sparse, same] = [path('sparse.raw'), path('same.raw')];
    // Holes that are read instead of stepped over would take a minute.
    const size = lseek === undefined ? 2 ** 24 : 20 * GIB;
    for (const file of [sparse, same]) {
      await makeSparseDisk(file, size, [[2 ** 23, Buffer.alloc(65_536, 1)]]);
    }
    const commands = [
      ['map', '-f', 'raw', sparse],
      ['measure', '-f', 'raw', '-O', 'qcow2', sparse],
      ['convert', '-f', 'raw', '-c', sparse, image],
      ['compare', '-f', 'raw', '-F', 'raw', sparse, same],
    ];
    await rm(image, { force: true });
    for (const args of commands) {
      const { status, stdout, stderr } = await cli(args, { program });
      expect([args[0], status]).toEqual([args[0], 0]);
      const warnings = stderr
        .trimEnd()
        .split('\n')
        .filter((line) => line !== '');
      if (lseek === undefined) {
        expect(warnings).toEqual([
          expect.stringMatching(/^qcow2c: warning: The holes of .*koffi nor fs-ext/),
        ]);
      } else expect(warnings).toEqual([]);
      if (args[0] === 'map') {
        const start = lseek === undefined ? '0' : '0x800000';
        expect(stdout.trim().split('\n').slice(1)).toEqual([expect.stringMatching(new RegExp(`^${start} `))]);
      }
    }
    await expectGoodImage(image, sparse);
  });
});
