/** Two names of the same file, and names of different files. */
import { linkSync, statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { fileIdentity } from '../../src/system/file-identity.js';
import { useScratch } from '../e2e/scratch.js';

const path = useScratch();
const identity = (name: string) => fileIdentity(statSync(name, { bigint: true }));

test('a file is identified by its file system and inode', () => {
  for (const name of ['one', 'two']) writeFileSync(path(name), 'the same');
  linkSync(path('one'), path('link'));
  expect(identity(path('link'))).toBe(identity(path('one')));
  expect(identity(path('two'))).not.toBe(identity(path('one')));
});

test('a block device is identified by its number, because each of its names is another file', () => {
  const stats = statSync(path(''), { bigint: true });
  const node = (ino: bigint, rdev: bigint) =>
    fileIdentity(
      Object.assign(Object.create(stats) as typeof stats, { ino, rdev, isBlockDevice: () => true }),
    );
  expect(node(1n, 7n)).toBe(node(2n, 7n));
  expect(node(1n, 7n)).not.toBe(node(1n, 8n));
});
