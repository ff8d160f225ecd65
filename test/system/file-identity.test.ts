/** Two names of one thing and names of two. */
import { linkSync, statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { fileIdentity } from '../../src/system/file-identity.js';
import { useScratch } from '../e2e/scratch.js';

const path = useScratch();
const identity = (name: string) => fileIdentity(statSync(name, { bigint: true }));

test('a file is told by its file system and inode', () => {
  for (const name of ['one', 'two']) writeFileSync(path(name), 'the same');
  linkSync(path('one'), path('link'));
  expect(identity(path('link'))).toBe(identity(path('one')));
  expect(identity(path('two'))).not.toBe(identity(path('one')));
});

test('a block device is told by its number, for its file is another under each name', () => {
  const stats = statSync(path(''), { bigint: true });
  const node = (ino: bigint, rdev: bigint) =>
    fileIdentity(
      Object.assign(Object.create(stats) as typeof stats, { ino, rdev, isBlockDevice: () => true }),
    );
  expect(node(1n, 7n)).toBe(node(2n, 7n));
  expect(node(1n, 7n)).not.toBe(node(1n, 8n));
});
