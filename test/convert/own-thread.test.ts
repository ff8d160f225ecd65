/** A disk of one item is converted on the calling thread, to the same bytes, where that delays nothing. */
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { useScratch } from '../e2e/scratch.js';
import { patchworkBytes } from '../e2e/source-images.js';
import { convertHere, testWorker } from './built-worker.js';

const path = useScratch();
const [one, two] = [path('one-item.raw'), path('two-items.raw')];
const plain = { sources: [one], sourceFormat: 'raw', targetFormat: 'qcow2', compress: true } as const;
/** Every thread that starts fails. */
const NO_THREAD = { ownThread: true, workerEntry: testWorker('throws') };

beforeAll(() => {
  writeFileSync(one, patchworkBytes(2 * 1024 * 1024));
  writeFileSync(two, patchworkBytes(2 * 1024 * 1024 + 512));
});

async function bytesOf(
  options: Partial<ConvertOptions>,
  parts: Parameters<typeof convertHere>[1],
  name = 'target',
) {
  await convertHere({ ...plain, ...options, target: path(name) }, parts);
  return readFileSync(path(name));
}

test.each<[string, Partial<ConvertOptions>]>([
  ['compressed', {}],
  ['compressed with zstd', { create: { compressionType: 'zstd' } }],
  ['not compressed', { compress: false }],
  ['to a raw disk', { compress: false, targetFormat: 'raw' }],
])('%s, no thread starts and the bytes are those of a thread', async (_, options) => {
  const [own, threads] = [await bytesOf(options, NO_THREAD), await bytesOf(options, {})];
  expect(own.equals(threads)).toBe(true);
});

test.each<[string, Partial<ConvertOptions>]>([
  ['for a second item', { sources: [two] }],
  ['for a slow level', { compressionLevel: 9 }],
  ['without leave', { threads: 1 }],
])('%s a thread starts', async (name, options) => {
  const parts = name === 'without leave' ? { ...NO_THREAD, ownThread: false } : NO_THREAD;
  await expect(bytesOf(options, parts)).rejects.toMatchObject({ code: 'ERR_WORKER' });
});

test('while one conversion has the thread, another starts its own, with the same bytes', async () => {
  const both = await Promise.all(['a', 'b', 'c'].map((name) => bytesOf({}, { ownThread: true }, name)));
  const expected = await bytesOf({}, NO_THREAD);
  expect(both.every((bytes) => bytes.equals(expected))).toBe(true);
});
