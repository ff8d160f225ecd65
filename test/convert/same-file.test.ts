import { readFileSync } from 'node:fs';
import { link, mkdir, symlink, writeFile } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { refuseSameFile } from '../../src/convert/same-file.js';
import { useScratch } from '../e2e/scratch.js';

const path = useScratch();
const [small, odd] = [path('small.raw'), path('odd.raw')];
beforeAll(async () => {
  await writeFile(small, Buffer.alloc(1024, 1));
  await writeFile(odd, Buffer.alloc(513, 2));
});

const same = (target: string) =>
  expect.objectContaining({ code: 'ERR_USAGE', file: target, message: expect.stringContaining('same file') });

test('a source is refused as target under its name, a symbolic link, a hard link and another spelling', async () => {
  await mkdir(path('below'));
  await symlink(small, path('link'));
  await link(small, path('hard'));
  for (const target of [small, path('link'), path('hard'), path('below', '..', 'small.raw')]) {
    await expect(refuseSameFile([odd, small], target)).rejects.toThrow(same(target));
    await expect(refuseSameFile([target], small)).rejects.toThrow(same(small));
  }
});

test('a file with the same content, or a missing one, is another file', async () => {
  await writeFile(path('copy'), readFileSync(small));
  for (const target of [path('copy'), path('not-there'), path('no', 'directory'), '/dev/null']) {
    await refuseSameFile([odd, small], target);
  }
  await symlink(path('nowhere'), path('dangling'));
  await refuseSameFile([small], path('dangling'));
});

test('two names of a missing file are the same file', async () => {
  await symlink(path(''), path('here'));
  for (const target of [path('new'), path('here', 'new'), path('here', '..', 'here', 'new')]) {
    await expect(refuseSameFile([small, path('new')], target)).rejects.toThrow(same(target));
  }
  await refuseSameFile([path('new')], path('newer'));
});

test('an impossible name is left to the error of opening it', async () => {
  await refuseSameFile([small], path('small.raw', 'below'));
  await refuseSameFile([path('not-there'), path('not-there', 'below')], small);
});

test('a name that cannot be resolved is an error', async () => {
  await symlink(path('loop'), path('loop'));
  for (const name of [path('n'.repeat(300)), path('loop')]) {
    const error = expect.objectContaining({ code: 'ERR_IO', file: name });
    await expect(refuseSameFile([small], name)).rejects.toThrow(error);
    await expect(refuseSameFile([name], small)).rejects.toThrow(error);
  }
});
