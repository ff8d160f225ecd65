/** Drops a file from the page cache, so that a later read comes from the disk even if O_DIRECT is refused. */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { dropCachedPages } from './libc.js';

/**
 * @param descriptor open for reading at least
 * @returns whether the system supports the request; it keeps pages that other processes use
 * @throws the system's error when the file cannot be synced
 */
export async function evictFile(descriptor: number): Promise<boolean> {
  // Pages that are not on the disk yet would stay.
  await promisify(fs.fdatasync)(descriptor);
  return (await dropCachedPages(descriptor)) === undefined;
}
