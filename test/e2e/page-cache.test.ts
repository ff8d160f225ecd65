/** The page cache after a conversion: nothing of its target, and with -T none nothing of its source. */
import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { cachedBytes, evict } from '../oracle/fincore.js';
import * as qemuImg from '../oracle/qemu-img.js';
import { shortened } from '../stage.js';
import { cliOk } from './cli.js';
import { useScratch } from './scratch.js';
import { randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const raw = path('source.raw');
const image = path('source.qcow2');
const target = path('target.img');
const MIB = 1024 * 1024;
const SIZE = 6 * MIB + 512;

beforeAll(async () => {
  await writeFile(raw, Buffer.concat([textBytes(3 * MIB), randomBytes(3 * MIB + 512)]));
  await qemuImg.convert(['-c'], [raw], image);
});
beforeEach(async () => {
  for (const file of [raw, image]) await evict(file);
});

test.each(
  shortened(
    [
      ['compressed', ['-c']],
      ['plain', ['-O', 'qcow2']],
      ['raw', ['-O', 'raw']],
      ['compressed and verified', ['-c', '-O', 'qcow2', '--verify']],
    ] as const,
    2,
  ),
)('in default mode the target (%s) leaves nothing there', async (_, options) => {
  await cliOk(['convert', ...options, raw, target]);
  expect(await cachedBytes(target)).toBe(0);
  // fincore reports the pages once the file is read.
  const { length } = await readFile(target);
  expect(await cachedBytes(target)).toBeGreaterThanOrEqual(length - 4096);
});

test('neither does an external data file', async () => {
  await cliOk(['convert', '-O', 'qcow2', '-o', `data_file=${path('data')}`, raw, target]);
  expect([await cachedBytes(target), await cachedBytes(path('data'))]).toEqual([0, 0]);
});

test.each(
  shortened(
    [
      ['raw', raw, []],
      ['qcow2', image, []],
      ['raw, read twice', raw, ['--verify']],
    ] as const,
    1,
  ),
)(
  '-T none reads the source (%s) without filling it, as reading through it does',
  async (_, source, options) => {
    expect(await cachedBytes(source)).toBe(0);
    await cliOk(['convert', '-c', '-T', 'none', ...options, source, target]);
    expect(await cachedBytes(source)).toBe(0);
    expect(await qemuImg.difference(raw, target)).toBeUndefined();

    await evict(source);
    await cliOk(['convert', '-c', source, target]);
    expect(await cachedBytes(source)).toBeGreaterThan(SIZE / 4);
  },
);
