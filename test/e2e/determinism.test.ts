/** The same input, options and engine give the same bytes, for any number of threads in any order. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { sample } from '../stage.js';
import { cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk } from './source-images.js';

const path = useScratch();
const raw = path('mixed.raw');
beforeAll(() => makeMixedDisk(raw));

async function digest(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

async function digestOf(flags: readonly string[]): Promise<string> {
  await cliOk(['convert', ...flags, raw, path('again.qcow2')]);
  return digest(path('again.qcow2'));
}

const WITHOUT_EFFECT: readonly (readonly [string, readonly string[]])[] = [
  ['-W', ['-W']],
  ['the page cache', ['-t', 'writeback']],
  ['sources read around the page cache', ['-T', 'none']],
];
/** With compression. */
const CACHES: typeof WITHOUT_EFFECT = [
  ['a write cache of 2 MiB', ['--compressed-cache-size', '2M']],
  ['no write cache', ['--compressed-cache-size', '0']],
];

describe.each([
  ['zlib', ['-c']],
  ['zstd', ['-c', '-o', 'compression_type=zstd']],
  ['normal clusters', ['-O', 'qcow2']],
])('%s', (name, flags) => {
  const first = path(`${name}.qcow2`);

  test('any number of threads writes the same bytes, and so do two runs', async () => {
    await cliOk(['convert', ...flags, '-m', '1', raw, first]);
    await expectGoodImage(first, raw);
    const expected = await digest(first);
    for (const threads of sample(['2', '5', '16', '2'], 2)) {
      expect([threads, await digestOf([...flags, '-m', threads])]).toEqual([threads, expected]);
    }
  });

  const others = flags.includes('-c') ? [...WITHOUT_EFFECT, ...CACHES] : WITHOUT_EFFECT;
  test.each(sample(others, 1))('%s changes nothing in the bytes', async (_, more) => {
    expect(await digestOf([...flags, ...more])).toBe(await digest(first));
  });
});
