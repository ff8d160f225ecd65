/** NBD exports as targets: qemu-img judges the file or the export that real servers hold afterwards. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { useScratch } from '../e2e/scratch.js';
import { patchworkBytes, randomBytes } from '../e2e/source-images.js';
import { type NbdServer, whileNbdkit, whileQemuNbd } from '../oracle/nbd-server.js';
import { runOk } from '../oracle/run.js';
import { convertHere } from './built-worker.js';

const path = useScratch();
const MIB = 2 ** 20;
const SIZE = 20 * MIB;
/** Data, then zeros, then data up to the end. */
const disk = path('disk.raw');
const backup = path('backup.qcow2');
const content = Buffer.concat([patchworkBytes(6 * MIB), Buffer.alloc(11 * MIB), randomBytes(3 * MIB, 7)]);

beforeAll(async () => {
  await writeFile(disk, content);
  await convertHere({ sources: [disk], sourceFormat: 'raw', target: backup, compress: true });
});

const restore = (target: string, options: Partial<ConvertOptions> = {}) =>
  convertHere({ sources: [backup], target, targetFormat: 'raw', threads: 2, ...options });

/** The disk in the export, as another client reads it. */
async function read({ uri }: NbdServer): Promise<Buffer> {
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri(), path('read.raw')]);
  return readFile(path('read.raw'));
}

describe('a raw restore', () => {
  test('fills an export of qemu-nbd, whose old content it replaces by data and holes', async () => {
    const file = path('export.raw');
    await writeFile(file, randomBytes(SIZE, 3));
    await whileQemuNbd(path('s'), ['-e', '4', '-f', 'raw', file], async ({ uri }) => {
      expect(await restore(uri(), { verify: true })).toMatchObject({ verifiedFrom: 'server' });
    });
    expect((await readFile(file)).equals(content)).toBe(true);
    expect((await stat(file)).blocks * 512).toBeLessThan(10 * MIB);
  });

  test('leaves what is behind the disk, and with targetIsZero also what reads as zeros already', async () => {
    const file = path('longer.raw');
    const old = randomBytes(SIZE + MIB, 4);
    await writeFile(file, old);
    await whileQemuNbd(path('s'), ['-f', 'raw', file], async ({ uri }) => {
      await restore(uri(), { keepTarget: true, targetIsZero: true });
      const hidden = await readFile(file);
      expect(hidden.subarray(8 * MIB, 16 * MIB).equals(old.subarray(8 * MIB, 16 * MIB))).toBe(true);
      await restore(uri());
    });
    expect((await readFile(file)).equals(Buffer.concat([content, old.subarray(SIZE)]))).toBe(true);
  });

  // Old content comes from a first restore of other bytes: the memory plugin begins with zeros.
  test.each([
    ['memory', []],
    ['zeros by trim and block status', ['--filter=nozero']],
    ['zeros sent', ['--filter=nozero', '--filter=noextents']],
  ] as const)('works with nbdkit: %s', async (_, filters) => {
    const old = path('old.raw');
    await writeFile(old, randomBytes(SIZE, 5));
    await whileNbdkit(path('s'), [...filters, 'memory', '20M'], async (server) => {
      await restore(server.uri(), { sources: [old], sourceFormat: 'raw' });
      expect((await read(server)).equals(await readFile(old))).toBe(true);
      await restore(server.uri());
      expect((await read(server)).equals(content)).toBe(true);
    });
  });
});
