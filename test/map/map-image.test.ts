import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type MapRange, mapImage } from '../../src/index.js';
import type { MapOptions } from '../../src/map/options.js';
import { useScratch } from '../e2e/scratch.js';
import { create } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';

const path = useScratch();
const openFiles = () => readdirSync('/proc/self/fd').length;

async function ranges(options: MapOptions): Promise<MapRange[]> {
  const found: MapRange[] = [];
  for await (const range of mapImage(options)) found.push(range);
  return found;
}

async function makeChain(): Promise<MapOptions['image']> {
  await create(path('base.qcow2'), 4 * 65536);
  await qemuIo(path('base.qcow2'), ['write -P 1 64k 64k', 'write -c -P 2 128k 64k']);
  await create(path('top.qcow2'), 5 * 65536, ['-b', 'base.qcow2', '-F', 'qcow2']);
  await qemuIo(path('top.qcow2'), ['write -P 3 0 64k', 'write -z 192k 64k']);
  return { file: path('top.qcow2'), format: 'qcow2' };
}

test('yields every range with its file', async () => {
  const image = await makeChain();
  const before = openFiles();
  const found = await ranges({ image });
  expect(found.map(({ start, length }) => start + length)).toEqual([1, 2, 3, 4, 5].map((n) => n * 65536));
  expect(found).toMatchObject([
    { depth: 0, present: true, data: true, compressed: false, file: path('top.qcow2') },
    { depth: 1, present: true, data: true, compressed: false, file: path('base.qcow2') },
    { depth: 1, present: true, data: true, compressed: true, offset: undefined, file: undefined },
    { depth: 0, present: true, data: false, zero: true },
    { depth: 0, present: false, data: false, zero: true, offset: undefined },
  ]);
  expect(openFiles()).toBe(before);
});

test('starts at `start` and ends after `length`', async () => {
  const image = await makeChain();
  const some = await ranges({ image, startOffset: 65000, maxLength: 1000 });
  expect(some.map(({ start, length }) => [start, length])).toEqual([
    [65000, 536],
    [65536, 464],
  ]);
  const none = { depth: 0, present: false, zero: false, data: false, compressed: false };
  expect(await ranges({ image, startOffset: 10 ** 9 })).toMatchObject([
    { start: 10 ** 9, length: 0, ...none },
  ]);
  expect(await ranges({ image, startOffset: 3, maxLength: 0 })).toMatchObject([
    { start: 3, length: 0, ...none },
  ]);
});

test('closes all files when the caller stops early, and when a table is corrupt', async () => {
  const image = await makeChain();
  const before = openFiles();
  for await (const { start } of mapImage({ image })) {
    expect(start).toBe(0);
    break;
  }
  expect(openFiles()).toBe(before);
  await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 3 256k 64k', path('base.qcow2')]);
  await expect(ranges({ image })).rejects.toMatchObject({ code: 'ERR_CORRUPT', file: path('base.qcow2') });
  expect(openFiles()).toBe(before);
});

test('refuses names in images with `isolated`, and files in another format', async () => {
  const image = await makeChain();
  await expect(ranges({ image, isolated: true })).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' });
  await expect(ranges({ image: { file: path('missing') } })).rejects.toMatchObject({ systemCode: 'ENOENT' });
});

test('an abort between two ranges ends the map and closes every file', async () => {
  const image = await makeChain();
  const before = openFiles();
  const controller = new AbortController();
  const map = mapImage({ image, signal: controller.signal });
  expect((await map.next()).done).toBe(false);
  controller.abort('enough');
  await expect(map.next()).rejects.toMatchObject({
    name: 'AbortError',
    code: 'ERR_ABORTED',
    cause: 'enough',
  });
  expect(openFiles()).toBe(before);
  expect(await map.next()).toEqual({ done: true, value: undefined });
});
