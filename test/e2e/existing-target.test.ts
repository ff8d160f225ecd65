/** -n: the image that is there is written into, and stays what it is when that cannot be. */
import { stat, writeFile } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { create, info } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { cliOk } from './cli.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk } from './source-images.js';

const path = useScratch();
const raw = path('mixed.raw');
beforeAll(() => makeMixedDisk(raw));

test('the image that was made before keeps its inode and gets the disk', async () => {
  const target = path('existing.qcow2');
  await create(target, (await stat(raw)).size);
  const { ino } = await stat(target);
  await cliOk(['convert', '-n', '-c', '-O', 'qcow2', raw, target]);
  expect((await stat(target)).ino).toBe(ino);
  await expectGoodImage(target, raw);
});

test('an image that holds guest data is refused: compressed clusters cannot replace others', async () => {
  const target = path('used.qcow2');
  await create(target, (await stat(raw)).size);
  await qemuIo(target, ['write -P 0xaa 0 64k']);
  await expectFailure(path(''), ['convert', '-n', '-c', raw, target], /'.*used\.qcow2'.*guest data/);
});

test('a target that is larger than the source keeps its size', async () => {
  const target = path('larger.qcow2');
  await create(target, 100 * 1024 * 1024);
  await cliOk(['convert', '-n', '-c', raw, target]);
  expect((await info(target)).virtualSize).toBe(100 * 1024 * 1024);
});

test('a target that is missing, smaller than the source or no image is refused and left alone', async () => {
  const convert = (name: string) => ['convert', '-n', '-c', '-O', 'qcow2', raw, path(name)];
  await expectFailure(path(''), convert('none.qcow2'), /'.*none\.qcow2': No such file or directory/);
  await create(path('smaller.qcow2'), 1024 * 1024);
  await expectFailure(path(''), convert('smaller.qcow2'), /'.*smaller\.qcow2'.*smaller|smaller than/i);
  await writeFile(path('text.qcow2'), 'no image at all');
  await expectFailure(path(''), convert('text.qcow2'), /'.*text\.qcow2' is not a qcow2 image/);
});
