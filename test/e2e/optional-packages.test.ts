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
  // Without holes: their warning has its own test.
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

  test('--version reports missing packages and does not fail', async () => {
    const text = await cliOk(['--version'], { program });
    for (const part of missing) expect(text).toMatch(new RegExp(`^${part} +not found$`, 'm'));
    expect(text).toMatch(new RegExp(`^lseek +${lseek ?? 'not found'}$`, 'm'));
  });

  test(`zlib images come out right, made by ${engine}`, async () => {
    for (const flags of [
      ['-c', '-o', 'cluster_size=4k,compat=0.10'],
      ['-O', 'qcow2'],
    ]) {
      // The attributes that a replaced file loses without koffi have their own test.
      await rm(image, { force: true });
      await cliOk(['convert', ...flags, raw, image], { program });
      await expectGoodImage(image, raw);
    }
  });

  test('zstd images are correct, or one line names what to install', async () => {
    const args = ['convert', '-c', '-o', 'compression_type=zstd', raw, path('zstd.qcow2')];
    if (engine === 'node' && !('zstdCompressSync' in zlib)) {
      return expectFailure(path(''), args, /zstd.*(install|libzstd)/i, { program });
    }
    await cliOk(args, { program });
    await expectGoodImage(path('zstd.qcow2'), raw);
  });

  test('holes are found with the installed packages, or one warning says that they are not', async () => {
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
