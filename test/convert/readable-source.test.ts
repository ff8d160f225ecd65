/** A conversion whose source is a Readable of Node.js. */
import { createReadStream, existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { beforeAll, expect, test } from 'vitest';
import { measureWith } from '../../src/measure/measure.js';
import { expectGoodImage } from '../e2e/judge.js';
import { useScratch } from '../e2e/scratch.js';
import { textBytes } from '../e2e/source-images.js';
import { convertHere } from './built-worker.js';

const path = useScratch();
const raw = path('disk.raw');
const target = path('target.qcow2');
const bytes = textBytes(5 * 1024 * 1024);

beforeAll(() => writeFile(raw, bytes));

test('gives the same disk as the file, also with verification', async () => {
  const source = { stream: createReadStream(raw) };
  const result = await convertHere({ sources: [source], target, compress: true, verify: true });
  expect(result.virtualSize).toBe(bytes.length);
  await expectGoodImage(target, raw);
});

test('measures the same size as the conversion gives', async () => {
  const workerEntry = new URL('../../dist/worker.cjs', import.meta.url);
  const streamed = await measureWith(
    { source: { stream: createReadStream(raw) }, compress: true },
    { workerEntry },
  );
  const read = await measureWith({ source: raw, sourceFormat: 'raw', compress: true }, { workerEntry });
  expect(streamed.required).toBe(read.required);
});

test('fails with the stream, and leaves no target', async () => {
  const stream = new PassThrough();
  const lost = path('lost.qcow2');
  const cause = new Error('the connection broke');
  const converting = convertHere({ sources: [{ stream, name: 'upload' }], target: lost });
  stream.write(bytes.subarray(0, 3_000_000), () => stream.destroy(cause));
  await expect(converting).rejects.toMatchObject({ code: 'ERR_IO', file: 'upload', cause });
  expect(existsSync(lost)).toBe(false);
});

test('is aborted by the signal without destroying the stream', async () => {
  const stream = new PassThrough();
  const controller = new AbortController();
  const converting = convertHere({ sources: [{ stream }], target: path('never'), signal: controller.signal });
  stream.write(bytes.subarray(0, 10_000));
  setImmediate(() => controller.abort('enough'));
  await expect(converting).rejects.toMatchObject({
    name: 'AbortError',
    code: 'ERR_ABORTED',
    cause: 'enough',
  });
  expect(stream.destroyed).toBe(false);
  expect(existsSync(path('never'))).toBe(false);
  stream.destroy();
});
