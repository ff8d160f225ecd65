import { closeSync, openSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { canFindHoles, HoleFinder } from '../../src/raw/holes.js';
import { openForReading, RawSource } from '../../src/raw/raw-source.js';
import { useScratch } from '../e2e/scratch.js';
import { makeSparseDisk } from '../e2e/source-images.js';

vi.mock('fs-ext', () => {
  throw new Error('not installed');
});

const path = useScratch();

test('without fs-ext a file has no holes and a device no end, and nothing fails', async () => {
  const file = path('sparse.raw');
  await makeSparseDisk(file, 1024 * 1024, [[524_288, Buffer.from('data')]]);
  const descriptor = openSync(file, 'r');
  const finder = await HoleFinder.open(descriptor, file);
  expect(await canFindHoles()).toBe(false);
  expect(finder.nextData(4096, 1024 * 1024)).toEqual({ start: 4096, end: 1024 * 1024 });
  expect(finder.end()).toBeUndefined();
  closeSync(descriptor);
});

test('without fs-ext a sparse source is data from its first byte to its last', async () => {
  const file = path('odd.raw');
  await makeSparseDisk(file, 100_001, []);
  const { descriptor } = openForReading(file, false);
  const source = await RawSource.open(descriptor, file);
  expect(source.size).toBe(100_352);
  expect(await source.map(0)).toEqual({ kind: 'data', length: 100_001, descriptor, offset: 0 });
  expect(await source.map(100_001)).toEqual({ kind: 'zero', length: 351 });
  await source.close();
});
