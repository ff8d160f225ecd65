/** The directory of the compiled program: only the user can have made it, and only the user can write to it. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.js';
import { useScratch } from '../e2e/scratch.js';

const { compileCacheDirectory } = createRequire(import.meta.url)('../../bin/compile-cache.js') as {
  compileCacheDirectory(env: NodeJS.ProcessEnv, command?: string): string | undefined;
};
const scratch = useScratch();
const parent = scratch('parent');
const base = `${parent}/cache`;
const directory = `${base}/qcow2c`;
const find = (env: NodeJS.ProcessEnv = {}, command?: string) =>
  compileCacheDirectory({ XDG_CACHE_HOME: base, ...env }, command);

/** @returns `path`, after a directory was made */
function made(place: string, path = place): string {
  mkdirSync(place, { recursive: true, mode: 0o700 });
  return path;
}

beforeEach(() => {
  rmSync(parent, { recursive: true, force: true });
  mkdirSync(parent, { mode: 0o755 });
});

test('it is made for the user alone, and found again', () => {
  expect(find()).toBe(`${directory}/other`);
  expect([base, directory].map((path) => statSync(path).mode & 0o777)).toEqual([0o700, 0o700]);
  expect(find()).toBe(`${directory}/other`);
});

test('every command that opens an image has its own, and nothing else that a user types', () => {
  const commands = COMMANDS.map(({ table }) => table.name);
  const withImages = commands.filter((name) => !['completion', 'man', 'help'].includes(name));
  const found = [...commands, '../../x', 'constructor'].map((name) => find({}, name));
  expect(new Set(found)).toEqual(new Set([...withImages, 'other'].map((name) => `${directory}/${name}`)));
});

test('NODE_DISABLE_COMPILE_CACHE prevents the directory', () => {
  expect(find({ NODE_DISABLE_COMPILE_CACHE: '1' })).toBeUndefined();
  expect(existsSync(base)).toBe(false);
});

test.each<[string, () => void]>([
  ['that others can read or enter', () => mkdirSync(directory, { mode: 0o755, recursive: true })],
  ['that only its sticky bit protects', () => chmodSync(made(directory), 0o1777)],
  ['that is a symbolic link', () => symlinkSync(parent, made(base, directory))],
  ['that is a file', () => writeFileSync(made(base, directory), '')],
  ['whose parent others can write to', () => chmodSync(made(base), 0o775)],
  ['with such a directory above its parent', () => chmodSync(parent, 0o757)],
  ['of another user', () => chownSync(made(directory), 1, 1)],
  ['in the home of another user', () => chownSync(made(base), 1, 1)],
  ['below a directory that is missing', () => rmSync(parent, { recursive: true })],
])('a directory %s is not used', (_, prepare) => {
  const old = process.umask(0);
  prepare();
  process.umask(old);
  expect(find()).toBeUndefined();
});

test.each(['', '.', 'cache'])('with HOME=%j nothing is made in the working directory', (home) => {
  const [usual, place] = [process.env['HOME'], process.cwd()];
  mkdirSync(join(parent, 'cache'));
  try {
    process.chdir(parent);
    process.env['HOME'] = home;
    expect(compileCacheDirectory({})).toBeUndefined();
    expect(readdirSync(parent, { recursive: true })).toEqual(['cache']);
  } finally {
    process.chdir(place);
    if (usual === undefined) delete process.env['HOME'];
    else process.env['HOME'] = usual;
  }
});

test('root makes nothing in the home of another user, who could not use it', () => {
  chownSync(parent, 1, 1);
  expect(find()).toBeUndefined();
  expect(existsSync(base)).toBe(false);
});
