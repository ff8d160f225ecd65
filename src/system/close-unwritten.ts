/** Closes files that were only read: sources, and whatever was opened to look at it or to lock it. */
import { close } from 'node:fs';
import { promisify } from 'node:util';

/**
 * Closes a descriptor through which nothing was written. The system may report a failed write of old when it closes a
 * file; here that cannot be ours, and the descriptor is gone whatever it says.
 * @throws the system's error for a descriptor that is not open, which is a defect
 */
export async function closeUnwritten(descriptor: number): Promise<void> {
  try {
    // On another thread: a network file system may ask its server first.
    await promisify(close)(descriptor);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBADF') throw error;
  }
}
