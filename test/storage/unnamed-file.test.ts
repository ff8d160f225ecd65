/** Files without a name, on file systems with and without O_TMPFILE. */
import * as fs from 'node:fs/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { openUnnamedFile } from '../../src/storage/unnamed-file.js';
import { useScratch } from '../e2e/scratch.js';

/** The code with which an open of a directory fails; undefined: it does not. */
const refusal = vi.hoisted(() => ({ code: undefined as string | undefined, opened: [] as string[] }));

vi.mock('node:fs/promises', async (importOriginal) => {
  const actual = await importOriginal<typeof import('node:fs/promises')>();
  return {
    ...actual,
    open: async (path: string, flags: number, mode: number) => {
      refusal.opened.push(path);
      const { code } = refusal;
      if (code !== undefined && (await actual.stat(path).catch(() => undefined))?.isDirectory()) {
        throw Object.assign(new Error(code), { code });
      }
      return actual.open(path, flags, mode);
    },
  };
});

const path = useScratch();
afterEach(() => {
  refusal.code = undefined;
  refusal.opened.length = 0;
});

async function expectUnnamed(): Promise<void> {
  const file = await openUnnamedFile(path(''));
  try {
    expect(await fs.readdir(path(''))).toEqual([]);
    await file.write('kept');
    expect((await file.stat()).nlink).toBe(0);
    expect((await file.stat()).mode & 0o777).toBe(0o600);
    expect((await file.read(Buffer.alloc(4), 0, 4, 0)).buffer.toString()).toBe('kept');
  } finally {
    await file.close();
  }
}

test('a file is opened without ever having a name', async () => {
  await expectUnnamed();
  expect(refusal.opened).toEqual([path('')]);
});

test.each(['EOPNOTSUPP', 'EISDIR', 'EINVAL'])('after %s a file loses its name at once', async (code) => {
  refusal.code = code;
  await expectUnnamed();
  expect(refusal.opened.length).toBe(2);
});

test('any other error is reported with the directory', async () => {
  refusal.code = 'EACCES';
  await expect(openUnnamedFile(path(''))).rejects.toMatchObject({
    code: 'ERR_IO',
    systemCode: 'EACCES',
    file: path(''),
  });
});
