/** Block devices as source and as target. Loop devices prove it where the kernel lends them. */
import { stat, truncate, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { info } from '../oracle/qemu-img.js';
import { cli, cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { noLoopDevices, withLoopDevice } from './loop-device.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk } from './source-images.js';

const PRETEND = fileURLToPath(new URL('./pretend-block-device.mjs', import.meta.url));
const path = useScratch();
const raw = path('mixed.raw');
const image = path('image.qcow2');
beforeAll(() => makeMixedDisk(raw));

test('the size of a source that calls itself a block device is found by seeking', async () => {
  const { ino, size } = await stat(raw);
  await cliOk(['convert', '-c', raw, image], {
    nodeOptions: ['--import', PRETEND],
    env: { QCOW2C_TEST_BLOCK_DEVICE: String(ino) },
  });
  await expectGoodImage(image, raw);
  expect((await info(image)).virtualSize).toBe(size);
});

const reason = await noLoopDevices();
if (reason !== undefined) {
  console.warn(`No loop devices (${reason}): block devices are proved by pretence alone.`);
} else {
  describe('a loop device', () => {
    test('as source: its size is found by seeking, its zeros are left out', () =>
      withLoopDevice(raw, ['--read-only'], async (device) => {
        await cliOk(['convert', '-c', device, image]);
        await expectGoodImage(image, raw);
        expect((await info(image)).virtualSize).toBe((await stat(raw)).size);
      }));

    test('as target: written in place, aligned, and read by qemu-img', async () => {
      const backing = path('backing');
      await writeFile(backing, Buffer.alloc(16 * 1024 * 1024, 0xaa));
      await withLoopDevice(backing, [], async (device) => {
        await cliOk(['convert', '-c', '-O', 'qcow2', raw, device]);
        expect((await stat(device)).isBlockDevice()).toBe(true);
      });
      await expectGoodImage(backing, raw);
    });

    test('as target that is too small: one line that says so', async () => {
      const backing = path('small');
      await writeFile(backing, '');
      await truncate(backing, 1024 * 1024);
      await withLoopDevice(backing, [], async (device) => {
        const { status, stderr } = await cli(['convert', '-c', '-O', 'qcow2', raw, device]);
        expect(status).toBe(1);
        expect(stderr).toMatch(new RegExp(`^qcow2c: .*'${device}'.*\n$`));
      });
    });
  });
}
