/** Other processes change the target's name, its temporary file or their directory during the run. */
import * as fs from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openTarget } from '../../src/storage/open-target.js';
import type { Target } from '../../src/storage/target.js';
import { useScratch } from '../e2e/scratch.js';

const scratch = useScratch();
const directory = scratch('images');
const path = join(directory, 'disk.qcow2');
const temporary = join(directory, '.disk.qcow2.qcow2c.tmp');
const OLD = 'what was there before';
const NEW = Buffer.alloc(4096, 'new');
const openFiles = () => fs.readdirSync('/proc/self/fd').length;

let target: Target;
let descriptors: number;
beforeEach(async () => {
  fs.mkdirSync(directory);
  fs.writeFileSync(path, OLD);
  descriptors = openFiles();
  target = await openTarget(path, 'writeback', false);
  await target.file.write(0, [NEW]);
});
afterEach(() => {
  expect(openFiles()).toBe(descriptors);
  for (const name of fs.readdirSync(scratch(''))) fs.rmSync(scratch(name), { recursive: true });
});
const names = (where = directory) => fs.readdirSync(where).sort();

const LOST =
  /^'.*disk\.qcow2' is lost: another process removed, moved or replaced its temporary file '.*\.disk\.qcow2\.qcow2c\.tmp'$/;

test.each([
  ['removed', () => fs.unlinkSync(temporary), ['disk.qcow2']],
  ['moved away', () => fs.renameSync(temporary, join(directory, 'moved')), ['disk.qcow2', 'moved']],
  [
    'replaced by another file',
    () => {
      fs.writeFileSync(join(directory, 'other'), 'another user’s file');
      fs.renameSync(join(directory, 'other'), temporary);
    },
    ['.disk.qcow2.qcow2c.tmp', 'disk.qcow2'],
  ],
  [
    'replaced by a link',
    () => {
      fs.unlinkSync(temporary);
      fs.symlinkSync('disk.qcow2', temporary);
    },
    ['.disk.qcow2.qcow2c.tmp', 'disk.qcow2'],
  ],
])('a temporary file that is %s is an error, and the old target stays', async (_, change, left) => {
  change();
  await expect(target.commit(4096)).rejects.toMatchObject({
    code: 'ERR_IO',
    file: path,
    message: expect.stringMatching(LOST),
  });
  expect(fs.readFileSync(path, 'utf8')).toBe(OLD);
  // The file that another process has put there stays.
  expect(names()).toEqual(left);
});

/** Replaces the next rename by `instead`, which gets the real one. */
function onRename(
  instead: (rename: typeof promises.rename, from: string, to: string) => Promise<void>,
): void {
  const { rename } = promises;
  promises.rename = async (from, to) => {
    promises.rename = rename;
    syncBuiltinESMExports();
    await instead(rename, String(from), String(to));
  };
  syncBuiltinESMExports();
}

test('another file that takes the name at the last moment is an error', async () => {
  onRename(async (rename, from, to) => {
    fs.writeFileSync(join(directory, 'other'), 'of another process');
    fs.renameSync(join(directory, 'other'), from);
    await rename(from, to);
  });
  await expect(target.commit(4096)).rejects.toMatchObject({
    code: 'ERR_IO',
    file: path,
    message: expect.stringContaining('is lost: another process gave its name to another file'),
  });
  expect(names()).toEqual(['disk.qcow2']);
});

test('a program that moves the finished file away at once causes no error', async () => {
  onRename(async (rename, from, to) => {
    await rename(from, to);
    fs.renameSync(path, join(directory, 'taken'));
  });
  await target.commit(4096);
  expect(names()).toEqual(['taken']);
});

test('a directory that is removed is an error', async () => {
  fs.rmSync(directory, { recursive: true });
  await expect(target.commit(4096)).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringMatching(LOST),
  });
});

test('a directory that is moved away is an error, even if another takes its place', async () => {
  fs.renameSync(directory, scratch('moved'));
  fs.mkdirSync(directory);
  fs.writeFileSync(path, 'another user’s file');
  await expect(target.commit(4096)).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringMatching(LOST),
  });
  expect(names()).toEqual(['disk.qcow2']);
  expect(fs.readFileSync(path, 'utf8')).toBe('another user’s file');
  // No name is left to remove the file by; the next run to that path removes it.
  expect(names(scratch('moved'))).toEqual(['.disk.qcow2.qcow2c.tmp', 'disk.qcow2']);
  expect(fs.readFileSync(join(scratch('moved'), 'disk.qcow2'), 'utf8')).toBe(OLD);
});

test.each([
  ['removed', () => fs.unlinkSync(path)],
  ['replaced by another file', () => fs.writeFileSync(path, 'another user’s file')],
  [
    'replaced by a link',
    () => {
      fs.unlinkSync(path);
      fs.writeFileSync(scratch('elsewhere'), 'another user’s file');
      fs.symlinkSync(scratch('elsewhere'), path);
    },
  ],
])('an old target that is %s has no effect: the name gets the new image', async (_, change) => {
  change();
  await target.commit(4096);
  expect(names()).toEqual(['disk.qcow2']);
  expect(fs.lstatSync(path).isFile()).toBe(true);
  expect(fs.readFileSync(path).equals(NEW)).toBe(true);
});

test('an old target that is replaced by a directory is an error', async () => {
  fs.unlinkSync(path);
  fs.mkdirSync(path);
  await expect(target.commit(4096)).rejects.toMatchObject({
    code: 'ERR_IO',
    systemCode: 'EISDIR',
    message: `Could not rename the finished image to '${path}': Is a directory`,
  });
  expect(names()).toEqual(['disk.qcow2']);
  expect(names(path)).toEqual([]);
});

test('a discarded target removes only its own file', async () => {
  fs.renameSync(temporary, join(directory, 'moved'));
  fs.writeFileSync(temporary, 'another user’s file');
  await target.discard();
  expect(names()).toEqual(['.disk.qcow2.qcow2c.tmp', 'disk.qcow2', 'moved']);
  expect(fs.readFileSync(temporary, 'utf8')).toBe('another user’s file');
});
