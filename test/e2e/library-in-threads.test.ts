/** The library on the main thread and in two worker threads of its host at once: every call does its work. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { run } from '../oracle/run.js';
import { ROOT } from './cli.js';
import { installWithout } from './installation.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeSparseDisk } from './source-images.js';

const HOST = fileURLToPath(new URL('./library-in-threads.mjs', import.meta.url));
const path = useScratch();
const raw = path('sparse.raw');
beforeAll(async () => {
  const text = Buffer.from('some words that can be compressed. '.repeat(60_000));
  await makeSparseDisk(raw, 2 ** 26, [[2 ** 24, text]]);
});

async function useInThreads(library: string, directory: string) {
  mkdirSync(directory);
  const { status, signal, stdout, stderr } = await run(process.execPath, [
    HOST,
    pathToFileURL(library).href,
    raw,
    directory,
  ]);
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  await expectGoodImage(join(directory, 'thread-0.qcow2'), raw);
  return JSON.parse(stdout);
}

const round = (ranges: readonly string[]) => ({
  format: 'raw',
  verdict: 'identical',
  corruptions: 0,
  measured: true,
  ranges,
});
const withHoles = round(['hole', 'data', 'hole']);
const withoutHoles = round(['data']);

test('with koffi, which every thread loads; fs-ext stays out', async () => {
  const { main, others, fsExt } = await useInThreads(join(ROOT, 'dist', 'index.js'), path('koffi'));
  expect(main).toEqual([withHoles, withHoles]);
  expect(others).toEqual(Array(2).fill([withHoles, withHoles]));
  expect(fsExt).toBe(false);
});

test('without koffi, where fs-ext serves the main thread and the others read holes', async () => {
  const program = await installWithout(['koffi'], path('installation'));
  const library = join(program, '..', '..', 'dist', 'index.js');
  const { main, others, fsExt } = await useInThreads(library, path('fs-ext'));
  expect(main).toEqual([withHoles, withHoles]);
  expect(others).toEqual(Array(2).fill([withoutHoles, withoutHoles]));
  expect(fsExt).toBe(true);
});
