/** Drops a file from the page cache, for whoever wants to read what the disk holds where O_DIRECT is refused. */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { dropCachedPages } from './libc.js';

/**
 * @param descriptor open for reading at least
 * @returns whether the system was asked to, which it does for all but pages that somebody else uses
 * @throws the system's error when the file cannot be synced
 */
export async function evictFile(descriptor: number): Promise<boolean> {
  // Pages that are not on the disk yet stay.
  await promisify(fs.fdatasync)(descriptor);
  return (await dropCachedPages(descriptor)) === undefined;
}
