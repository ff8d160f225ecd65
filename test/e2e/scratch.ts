/** A directory of a test file's own on a disk file system, removed when the file's tests are over. */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, inject } from 'vitest';

/**
 * Makes the directory. Call it once at the top of a test file.
 * @returns the function that turns a name in the directory into its path
 */
export function useScratch(): (...names: string[]) => string {
  const directory = mkdtempSync(join(inject('scratch'), 'file-'));
  afterAll(() => rm(directory, { recursive: true, force: true }));
  return (...names) => join(directory, ...names);
}
