/** QEMU's locks, taken by qcow2c and by a real QEMU program, in both directions. */
import * as fs from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { type LockUse, lockImage } from '../../src/system/image-lock.js';
import { useScratch } from '../e2e/scratch.js';
import { whileQemuIoHolds } from '../oracle/holding.js';
import { create } from '../oracle/qemu-img.js';
import { run } from '../oracle/run.js';

const scratch = useScratch();
const path = scratch('image.qcow2');
beforeAll(() => create(path, 1_048_576));

/** Opens the image for a use; undefined if refused, with the reason in `refusals`. */
async function open(use: LockUse): Promise<{ close(): void } | { readonly refusal: string }> {
  const descriptor = fs.openSync(path, use === 'write' ? 'r+' : 'r');
  try {
    await lockImage(descriptor, path, use);
    return { close: () => fs.closeSync(descriptor) };
  } catch (error) {
    fs.closeSync(descriptor);
    expect(error).toMatchObject({ code: 'ERR_IN_USE', file: path });
    return { refusal: (error as Error).message };
  }
}

async function refusalOf(use: LockUse): Promise<string | undefined> {
  const opened = await open(use);
  if ('refusal' in opened) return opened.refusal;
  opened.close();
  return undefined;
}

describe('while a QEMU program', () => {
  test('writes to an image, other processes may neither read nor write it, except with -U', async () => {
    await whileQemuIoHolds(path, 'qcow2', [], async () => {
      const question = `is another process using the image '${path}'?`;
      expect(await refusalOf('read')).toBe(
        `Failed to get shared "write" lock: ${question} (stop the virtual machine or the program that writes to it, ` +
          'or read it anyway with -U: recent writes may then be missing or incomplete, as after a ' +
          'power failure)',
      );
      // -U does not help a writer.
      expect(await refusalOf('write')).toBe(
        `Failed to get "write" lock: ${question} (stop the virtual machine or the program that uses it first)`,
      );
      expect(await refusalOf('replace')).toBe(
        `Failed to get shared "write" lock: ${question} (stop the virtual machine or the program that writes to it ` +
          'first, or choose another target)',
      );
      expect(await refusalOf('read beside writers')).toBeUndefined();
    });
  });

  test('reads an image, others may read it but not write to it', async () => {
    await whileQemuIoHolds(path, 'qcow2', ['-r'], async () => {
      expect(await refusalOf('read')).toBeUndefined();
      expect(await refusalOf('write')).toContain('Failed to get "write" lock');
    });
  });

  test('reads an image and allows writers, others may write to it', async () => {
    await whileQemuIoHolds(path, 'qcow2', ['-r', '-U'], async () => {
      expect(await refusalOf('write')).toBeUndefined();
    });
  });
});

describe('while we have an image open', () => {
  test.each<[LockUse, boolean, boolean]>([
    ['read', true, false],
    ['write', false, false],
    ['read beside writers', true, true],
    ['replace', true, false],
  ])('for "%s" QEMU may read it: %s, and write to it: %s', async (use, mayRead, mayWrite) => {
    const opened = await open(use);
    if ('refusal' in opened) throw new Error(opened.refusal);
    const qemuIo = (...options: string[]) =>
      run('qemu-io', [...options, '-f', 'qcow2', '-c', 'read 0 512', path]);
    for (const [outcome, may] of [
      [await qemuIo('-r'), mayRead],
      [await qemuIo(), mayWrite],
    ] as const) {
      expect(outcome.status).toBe(may ? 0 : 1);
      if (!may) expect(outcome.stderr).toMatch(/Failed to get (shared )?"write" lock/);
    }
    opened.close();
    expect((await qemuIo()).status).toBe(0);
  });

  test('for writing, another part of this process may not read it', async () => {
    const opened = await open('write');
    expect(await refusalOf('read')).toContain('Failed to get shared "write" lock');
    if ('close' in opened) opened.close();
    expect(await refusalOf('read')).toBeUndefined();
  });
});
