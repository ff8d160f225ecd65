/** Without koffi and fs-ext nothing fails, and the caller gets one warning. */
import { closeSync, openSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { mapImage } from '../../src/map/map-image.js';
import { openForReading, RawSource } from '../../src/raw/raw-source.js';
import { HoleFinder } from '../../src/system/holes.js';
import { loadSeek } from '../../src/system/seek.js';
import { useScratch } from '../e2e/scratch.js';
import { makeSparseDisk } from '../e2e/source-images.js';

vi.mock('../../src/system/koffi.js', async (original) => ({
  ...(await original<typeof import('../../src/system/koffi.js')>()),
  loadKoffi: () => {
    throw new Error('not installed');
  },
}));
vi.mock('../../src/system/fs-ext-package.js', async (original) => ({
  ...(await original<typeof import('../../src/system/fs-ext-package.js')>()),
  loadFsExt: () => {
    throw new Error('not installed');
  },
}));

const path = useScratch();

test('a file has no holes', async () => {
  const file = path('sparse.raw');
  await makeSparseDisk(file, 1024 * 1024, [[524_288, Buffer.from('data')]]);
  const descriptor = openSync(file, 'r');
  const finder = await HoleFinder.open(descriptor, file);
  expect(await loadSeek()).toBeUndefined();
  expect(finder.isAble).toBe(false);
  expect(await finder.nextData(4096, 1024 * 1024)).toEqual({ start: 4096, end: 1024 * 1024 });
  closeSync(descriptor);
});

test('a sparse source is data from its first byte to its last', async () => {
  const file = path('odd.raw');
  await makeSparseDisk(file, 100_001, []);
  const { descriptor } = await openForReading(file, false);
  const source = await RawSource.open(descriptor, file);
  expect(source.size).toBe(100_352);
  expect(await source.map(0)).toEqual({ kind: 'data', length: 100_001, descriptor, offset: 0 });
  expect(await source.map(100_001)).toEqual({ kind: 'zero', length: 351 });
  await source.close();
});

test('a warning names the first sparse file, once; a file without holes has none', async () => {
  const warnings: string[] = [];
  const map = async (file: string) => {
    const image = { file: path(file), format: 'raw' } as const;
    const ranges = mapImage({ image, onWarning: (message) => warnings.push(message) });
    for await (const { data } of ranges) expect(data).toBe(true);
  };
  await makeSparseDisk(path('full.raw'), 4096, [[0, Buffer.alloc(4096, 1)]]);
  await map('full.raw');
  expect(warnings).toEqual([]);
  await makeSparseDisk(path('one.raw'), 1024 * 1024, []);
  await makeSparseDisk(path('two.raw'), 1024 * 1024, []);
  for (const file of ['one.raw', 'two.raw', 'one.raw']) await map(file);
  expect(warnings).toEqual([
    `The holes of '${path('one.raw')}' are read like data, which is slow: neither the package koffi nor fs-ext ` +
      'works here; npm install without --omit=optional installs both',
  ]);
});
