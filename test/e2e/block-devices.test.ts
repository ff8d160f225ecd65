/** Block devices as source and as target. Loop devices prove it where the kernel lends them. */
import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { info } from '../oracle/qemu-img.js';
import { run } from '../oracle/run.js';
import { cli, cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { noLoopDevices, withLoopDevice } from './loop-device.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk, patchworkBytes } from './source-images.js';

const PRETEND = fileURLToPath(new URL('./pretend-block-device.mjs', import.meta.url));
const path = useScratch();
const raw = path('mixed.raw');
const image = path('image.qcow2');
const disk = path('patchwork.raw');
beforeAll(async () => {
  await makeMixedDisk(raw);
  await writeFile(disk, patchworkBytes(3000 * 1024 + 512));
});

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
        // It can be read twice for a pipe.
        const pipe = ['bash', '-c', `set -o pipefail; "$0" "$@" | cmp - '${image}'`];
        await cliOk(['convert', '-c', device, '-'], { under: pipe });
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

    test('as target that is too small: one line with the error', async () => {
      const backing = path('small');
      await writeFile(backing, '');
      await truncate(backing, 1024 * 1024);
      await withLoopDevice(backing, [], async (device) => {
        const { status, stderr } = await cli(['convert', '-c', '-O', 'qcow2', raw, device]);
        expect(status).toBe(1);
        expect(stderr).toMatch(new RegExp(`^qcow2c: .*'${device}'.*\n$`));
      });
    });

    test.each([
      ['raw', []],
      ['raw and -n', ['-n']],
      ['raw and -S 0', ['-S', '0']],
      ['raw and -t writeback', ['-t', 'writeback']],
    ])('as target in %s: it holds the whole disk, and bytes after the disk stay', async (_, flags) => {
      const { size } = await stat(disk);
      const backing = path('raw-device');
      await writeFile(backing, Buffer.alloc(size + 1024 * 1024, 0xaa));
      await withLoopDevice(backing, [], async (device) => {
        await cliOk(['convert', ...flags, '-f', 'raw', '-O', 'raw', disk, device]);
      });
      const bytes = await readFile(backing);
      expect(bytes.subarray(0, size).equals(await readFile(disk))).toBe(true);
      expect(bytes.subarray(size).equals(Buffer.alloc(1024 * 1024, 0xaa))).toBe(true);
    });

    test('as target in raw with --target-is-zero: zeros are not written', async () => {
      const { size } = await stat(disk);
      const backing = path('zero-device');
      await writeFile(backing, '');
      await truncate(backing, size);
      await withLoopDevice(backing, [], async (device) => {
        await cliOk(['convert', '-n', '--target-is-zero', '-f', 'raw', '-O', 'raw', disk, device]);
      });
      expect((await readFile(backing)).equals(await readFile(disk))).toBe(true);
      expect((await stat(backing)).blocks).toBeLessThan((await stat(disk)).blocks);
    });

    test('as target that is too small for a raw disk: refused in the words of qemu-img, and left alone', async () => {
      const backing = path('small-raw');
      const before = Buffer.alloc(1024 * 1024, 0xaa);
      await writeFile(backing, before);
      await withLoopDevice(backing, [], async (device) => {
        for (const flags of [[], ['-n']]) {
          const args = ['convert', ...flags, '-f', 'raw', '-O', 'raw', disk, device];
          const { status, stderr } = await cli(args);
          expect(status).toBe(1);
          expect(stderr).toMatch(/^qcow2c: output file is smaller than input file.*\n$/);
        }
        const theirs = await run('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', disk, device]);
        expect(theirs.stderr).toContain('output file is smaller than input file');
      });
      expect((await readFile(backing)).equals(before)).toBe(true);
    });

    test('as target that is too small for a qcow2 image: an error with both sizes', async () => {
      const backing = path('small-qcow2');
      await writeFile(backing, Buffer.alloc(1024 * 1024));
      await withLoopDevice(backing, [], async (device) => {
        for (const flags of [['-c'], ['-O', 'qcow2']]) {
          const { status, stderr } = await cli(['convert', ...flags, '-f', 'raw', disk, device]);
          expect(status).toBe(1);
          const [, has, needed] =
            /^qcow2c: '.*' is too small: it has (\d+) bytes, and at least (\d+) are needed; .*: No space left on device\n$/i.exec(
              stderr,
            ) ?? [];
          expect(has).toBe('1048576');
          expect(Number(needed)).toBeGreaterThan(1048576);
        }
      });
    });

    test('as target: nothing can be preallocated on it', async () => {
      const backing = path('no-preallocation');
      await writeFile(backing, Buffer.alloc(6 * 1024 * 1024, 0xaa));
      await withLoopDevice(backing, [], async (device) => {
        for (const [format, mode] of [
          ['raw', 'falloc'],
          ['raw', 'full'],
          ['qcow2', 'metadata'],
        ] as const) {
          const args = ['-f', 'raw', '-O', format, '-o', `preallocation=${mode}`, disk, device];
          const { status, stderr } = await cli(['convert', ...args]);
          expect(status).toBe(1);
          expect(stderr).toMatch(
            /^qcow2c: Unsupported preallocation mode '\w+' on a device or an NBD export\n$/,
          );
        }
      });
    });

    test('as target of normal clusters: its old bytes are not visible', async () => {
      const backing = path('plain-device');
      await writeFile(backing, Buffer.alloc(6 * 1024 * 1024, 0xaa));
      for (const flags of [[], ['-o', 'extended_l2=on'], ['-o', 'cluster_size=512']]) {
        await withLoopDevice(backing, [], async (device) => {
          await cliOk(['convert', ...flags, '-f', 'raw', '-O', 'qcow2', disk, device]);
        });
        await expectGoodImage(backing, disk);
      }
    });
  });
}
