/** A target's path is resolved once, for any names of its links and directories. */
import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { resolvedPath } from '../../src/system/resolved-path.js';
import { useScratch } from '../e2e/scratch.js';

const path = useScratch();
const odd = (name: string) => Buffer.concat([Buffer.from(path('')), Buffer.from(`/${name}`, 'latin1')]);
const real = (...names: readonly string[]) => [realpathSync(path('')), ...names].join('/');

beforeAll(() => {
  for (const name of ['one', 'two']) mkdirSync(path(name));
  mkdirSync(odd('odd\xff'));
  writeFileSync(path('two', 'file'), '');
  symlinkSync('one', path('directory'));
  symlinkSync('../two/file', path('one', 'link'));
  symlinkSync('nothing/yet', path('two', 'early'));
  symlinkSync('../two/new', path('one', 'new'));
  symlinkSync('self', path('self'));
  symlinkSync(odd('odd\xff'), path('to-odd'));
  symlinkSync(odd('file\xff'), path('to-odd-file'));
});

test.each([
  ['a file by its own name', path('two', 'file'), real('two', 'file')],
  ['a missing file', path('one', 'none'), real('one', 'none')],
  ['a link in a linked directory', path('directory', 'link'), real('two', 'file')],
  ['a link to a missing file', path('one', 'new'), real('two', 'new')],
  ['a directory whose name is not UTF-8 stays relative', path('to-odd', 'x'), path('to-odd', 'x')],
])('%s', async (_, name, expected) => {
  expect(await resolvedPath(name)).toBe(expected);
});

test.each([
  ['to itself', path('self'), { code: 'ELOOP' }],
  ['into a missing directory', path('two', 'early'), { code: 'ENOENT' }],
  [
    'to a name that is not UTF-8',
    path('to-odd-file'),
    { code: 'ERR_UNSUPPORTED', file: path('to-odd-file') },
  ],
])('a link %s is an error', async (_, name, error) => {
  await expect(resolvedPath(name)).rejects.toMatchObject(error);
});
