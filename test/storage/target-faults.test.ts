/**
 * The commit of a target, step by step: the order of the steps, and the files left when a step fails. Calls of node:fs
 * are replaced where the real system cannot be made to fail.
 */
import * as fs from 'node:fs';
import type { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openTarget } from '../../src/storage/open-target.js';
import { alignedMemory, DIRECT_ALIGNMENT } from '../../src/system/aligned-memory.js';
import { useScratch } from '../e2e/scratch.js';

/** The steps in order, and those that fail. */
const steps = vi.hoisted(() => ({ made: [] as string[], failing: new Map<string, string>() }));

/** Records the step; throws if it is to fail. */
const step = vi.hoisted(() => (name: string) => {
  steps.made.push(name);
  const code = steps.failing.get(name);
  if (code !== undefined) throw Object.assign(new Error(code), { code, errno: undefined });
});

vi.mock('node:fs', async (importOriginal) => {
  const actual = await importOriginal<typeof import('node:fs')>();
  const watched = (name: 'ftruncate' | 'fdatasync' | 'close') => {
    const real = actual[name] as (...args: unknown[]) => void;
    return (...args: unknown[]) => {
      try {
        step(name);
      } catch (error) {
        const callback = args.at(-1) as (error: unknown) => void;
        // A close that fails has closed all the same.
        if (name === 'close') real(...args.slice(0, -1), () => callback(error));
        else callback(error);
        return;
      }
      real(...args);
    };
  };
  return {
    ...actual,
    ftruncate: watched('ftruncate'),
    fdatasync: watched('fdatasync'),
    close: watched('close'),
  };
});

vi.mock('node:fs/promises', async (importOriginal) => {
  const actual = await importOriginal<typeof import('node:fs/promises')>();
  return {
    ...actual,
    rename: async (from: string, to: string) => {
      step('rename');
      await actual.rename(from, to);
    },
    open: async (path: string, flags: number) => {
      const handle = await actual.open(path, flags);
      return Object.assign(handle, { sync: async () => step(`sync ${path}`) });
    },
  };
});

const scratch = useScratch();
let directory = '';
let path = '';

beforeEach(({ task }) => {
  directory = scratch(task.id);
  fs.mkdirSync(directory);
  path = join(directory, 'image.qcow2');
  fs.writeFileSync(path, 'the old image');
  steps.made.length = 0;
});
afterEach(() => steps.failing.clear());

const names = () => fs.readdirSync(directory);
const failWith = (name: string, code: keyof typeof constants.errno) => steps.failing.set(name, code);
const openDescriptors = () =>
  fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return dirname(fs.readlinkSync(`/proc/self/fd/${fd}`)) === directory;
    } catch {
      return false;
    }
  });

async function opened(inPlace = false, mode: 'none' | 'unsafe' = 'none') {
  const target = await openTarget(path, mode, inPlace);
  await target.file.write(0, [alignedMemory(DIRECT_ALIGNMENT).subarray(0, DIRECT_ALIGNMENT)]);
  return target;
}

describe('commit of a new file', () => {
  test('syncs it before the rename, and the directory afterwards', async () => {
    await (await opened()).commit(512);
    expect(steps.made).toEqual(['ftruncate', 'fdatasync', 'close', 'rename', `sync ${directory}`]);
  });

  test('syncs nothing in mode unsafe', async () => {
    await (await opened(false, 'unsafe')).commit(512);
    expect(steps.made).toEqual(['ftruncate', 'close', 'rename']);
  });

  test.each([
    ['ftruncate', 'EFBIG', 'Could not set the length of'],
    ['fdatasync', 'EIO', 'Could not sync'],
    ['close', 'EDQUOT', 'Could not close'],
    ['rename', 'EACCES', 'Could not rename the finished image to'],
  ] as const)(
    'whose %s fails leaves the old file, nothing else, and nothing open',
    async (name, code, what) => {
      const target = await opened();
      failWith(name, code);
      await expect(target.commit(512)).rejects.toMatchObject({
        code: 'ERR_IO',
        systemCode: code,
        file: path,
        message: expect.stringContaining(`${what} '${path}'`),
      });
      expect(names()).toEqual(['image.qcow2']);
      expect(fs.readFileSync(path, 'utf8')).toBe('the old image');
      expect(openDescriptors()).toEqual([]);
    },
  );

  test('reports a directory that cannot be synced: the name may not survive a power failure', async () => {
    const target = await opened();
    failWith(`sync ${directory}`, 'EIO');
    await expect(target.commit(512)).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'EIO',
      message: `Could not sync the directory '${directory}': Input/output error`,
    });
    expect(names()).toEqual(['image.qcow2']);
  });

  test.each(['EINVAL', 'ENOTSUP', 'EPERM'] as const)(
    'accepts a file system that cannot sync directories and answers %s',
    async (code) => {
      const target = await opened();
      failWith(`sync ${directory}`, code);
      await target.commit(512);
      expect(names()).toEqual(['image.qcow2']);
    },
  );
});

describe('commit in place', () => {
  test('sets the length and makes it durable', async () => {
    await (await opened(true)).commit(512);
    expect(steps.made).toEqual(['ftruncate', 'fdatasync', 'close']);
  });

  test.each([
    ['ftruncate', 'EFBIG'],
    ['fdatasync', 'EIO'],
    ['close', 'EIO'],
  ] as const)('whose %s fails is an error and leaves nothing open', async (name, code) => {
    const target = await opened(true);
    failWith(name, code);
    await expect(target.commit(512)).rejects.toMatchObject({ code: 'ERR_IO', systemCode: code, file: path });
    expect(openDescriptors()).toEqual([]);
    expect(names()).toEqual(['image.qcow2']);
  });
});

describe('discard', () => {
  test.each([false, true])('never throws, even if every call fails (in place: %s)', async (inPlace) => {
    const target = await opened(inPlace);
    failWith('ftruncate', 'EIO');
    failWith('close', 'EIO');
    await target.discard();
    expect(openDescriptors()).toEqual([]);
    expect(names()).toEqual(['image.qcow2']);
  });
});
