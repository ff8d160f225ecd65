/** Drops a file from the page cache, so that a later read comes from the disk even if O_DIRECT is refused. */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { bindCall, type SystemCall } from './libc.js';

/** POSIX_FADV_DONTNEED on all machines of Linux except s390 with 32 bits. */
const DONT_NEED = 4;

let advise: SystemCall | undefined;

/**
 * @param descriptor open for reading at least
 * @returns whether the system supports the request (posix_fadvise(3), Linux only); it keeps pages that other processes
 *   use
 * @throws the system's error when the file cannot be synced
 */
export async function evictFile(descriptor: number): Promise<boolean> {
  // Pages that are not on the disk yet would stay.
  await promisify(fs.fdatasync)(descriptor);
  if (process.platform !== 'linux') return false;
  advise ??= await bindCall('posix_fadvise', 'int', ['int', 'int64', 'int64', 'int']);
  // Unlike most calls, it returns its error, and 0 for success.
  return advise?.(descriptor, 0, 0, DONT_NEED) === 0;
}
