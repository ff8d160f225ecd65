/** Native libraries that are missing, of another kind, wrong or deadly: the image is right, or there is none. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import zlib from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { sample } from '../stage.js';
import { cli, cliOk } from './cli.js';
import { expectFailure, snapshot } from './failures.js';
import {
  CRASHES,
  compile,
  FAKES,
  ISAL_FAKES,
  inFront,
  type LibraryName,
  UNLOADABLE,
} from './fake-libraries.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk, patchworkBytes } from './source-images.js';

const path = useScratch();
const fake = useScratch();
const raw = path('mixed.raw');
const image = path('image.qcow2');
const zlibImage = path('source zlib.qcow2');
const zstdImage = path('source zstd.qcow2');
/** One work item, which needs no thread. */
const small = path('small.raw');
const NODE_HAS_ZSTD = 'zstdCompressSync' in zlib;
const ZSTD = ['-o', 'compression_type=zstd'];

beforeAll(async () => {
  await makeMixedDisk(raw);
  await writeFile(small, patchworkBytes(2 ** 20));
  await cliOk(['convert', '-c', raw, zlibImage]);
  await cliOk(['convert', '-c', ...ZSTD, raw, zstdImage]);
});

/** A crashing process must leave no core file. */
const NO_CORE = ['prlimit', '--core=0'];

let directories = 0;
const directory = () => {
  directories += 1;
  return fake(String(directories));
};

/**
 * A library that does not work is treated as missing.
 * @param sure whether the loader accepts it; otherwise the loader may skip it for the system's own
 */
async function expectFallback(name: LibraryName, env: Readonly<Record<string, string>>, sure: boolean) {
  const isDeflate = name === 'libdeflate';
  const type = isDeflate ? [] : ZSTD;
  const isGone = new RegExp(`^${name} +not found$`, 'm').test(await cliOk(['--version'], { env }));
  if (sure) expect(isGone).toBe(true);
  if (isGone) {
    const forced = ['convert', '-c', ...type, '--engine', name, small, path('no.qcow2')];
    await expectFailure(path(''), forced, new RegExp(`^Engine ${name} is not installed or does not work`), {
      env,
    });
  }
  const args = ['convert', '-c', '-v', ...type, raw, image];
  if (isGone && !isDeflate && !NODE_HAS_ZSTD) {
    return expectFailure(path(''), args, /zstd.*libzstd1/, { env });
  }
  const { status, stderr } = await cli(args, { env });
  expect(status).toBe(0);
  expect(stderr).toMatch(
    new RegExp(`^Compression: (by content, )?${isGone ? 'node' : name}\\b|and ${name} levels`, 'm'),
  );
  await expectGoodImage(image, raw);
  const source = isDeflate ? zlibImage : zstdImage;
  expect(await cliOk(['compare', raw, source], { env })).toBe('Images are identical.\n');
}

describe.each(sample(['libdeflate', 'libzstd'] as const, 1))('%s', (name) => {
  test.each(sample(Object.entries(FAKES[name]), 1))('one %s is passed over', async (_, source) => {
    const library = await compile(source, directory());
    await expectFallback(name, await inFront(name, library, directory()), true);
  });

  // The loader refuses such files for every library.
  test.each(
    name === 'libdeflate' ? sample(Object.entries(UNLOADABLE), 1) : Object.entries(UNLOADABLE).slice(0, 1),
  )('one %s is passed over', async (_, spoil) => {
    const library = await compile(FAKES[name]['of another kind']!, directory());
    const spoilt = `${library}.spoilt`;
    await writeFile(spoilt, spoil(await readFile(library)));
    await expectFallback(name, await inFront(name, spoilt, directory()), false);
  });

  test('one whose second half is missing, which no loader notices, costs at most the run', async () => {
    const library = await compile(FAKES[name]['of another kind']!, directory());
    const half = `${library}.half`;
    const whole = await readFile(library);
    await writeFile(half, whole.subarray(0, whole.length >> 1));
    const env = await inFront(name, half, directory());
    const before = snapshot(path(''));
    const target = path('half.qcow2');
    const type = name === 'libdeflate' ? [] : ZSTD;
    const { status } = await cli(['convert', '-c', ...type, raw, target], { env, under: NO_CORE });
    if (status === 0) await expectGoodImage(target, raw);
    else expect(snapshot(path(''))).toEqual(before);
  });

  describe.each(sample(Object.entries(CRASHES[name]), 1))('one that crashes %s', (_, source) => {
    const flags = name === 'libdeflate' ? [] : ZSTD;
    let env: Record<string, string> = {};
    beforeAll(async () => {
      env = await inFront(name, await compile(source, directory()), directory());
    });

    test('leaves the directory unchanged when the target is compressed', async () => {
      await writeFile(path('old.qcow2'), 'what was there');
      const before = snapshot(path(''));
      const { signal } = await cli(['convert', '-c', '-O', 'qcow2', ...flags, raw, path('old.qcow2')], {
        env,
        under: NO_CORE,
      });
      expect(signal).toBe('SIGSEGV');
      expect(snapshot(path(''))).toEqual(before);
    });

    test('leaves the old target when a source is inflated, and at most the temporary file', async () => {
      await writeFile(path('old.raw'), 'what was there');
      const before = await readdir(path(''));
      const source = name === 'libdeflate' ? zlibImage : zstdImage;
      const { signal } = await cli(['convert', '-O', 'raw', source, path('old.raw')], {
        env,
        under: NO_CORE,
      });
      expect(signal).toBe('SIGSEGV');
      expect(await readFile(path('old.raw'), 'latin1')).toBe('what was there');
      const left = (await readdir(path(''))).filter((entry) => !before.includes(entry));
      expect(left.filter((entry) => entry !== '.old.raw.qcow2c.tmp')).toEqual([]);
    });

    test('is not loaded with --engine node, which reads and writes all that Node.js can', async () => {
      const source = name === 'libdeflate' || !NODE_HAS_ZSTD ? zlibImage : zstdImage;
      await cliOk(['convert', '--engine', 'node', '-c', '--recompress', source, image], { env });
      await expectGoodImage(image, raw);
    });
  });
});

test('an ISA-L that does not work cannot be chosen', async () => {
  const [source] = Object.values(ISAL_FAKES);
  const env = await inFront('isal', await compile(source!, directory()), directory());
  const forced = ['convert', '-c', '--engine', 'isal', small, path('no.qcow2')];
  await expectFailure(path(''), forced, /^Engine isal is not installed or does not work: install libisal2 /, {
    env,
  });
});

test.each(Object.entries(ISAL_FAKES))('an ISA-L %s is passed over for libdeflate', async (_, source) => {
  const env = await inFront('isal', await compile(source, directory()), directory());
  const { status, stderr } = await cli(['convert', '-c', '-v', '--fast', small, image], { env });
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringContaining('libdeflate, level 1;') });
  await expectGoodImage(image, small);
});
