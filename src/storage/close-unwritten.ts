/** Closes files that were only read: sources, and whatever was opened to look at it or to lock it. */
import { closeSync } from 'node:fs';

/**
 * Closes a descriptor through which nothing was written. The system may report a failed write of old when it closes a
 * file; here that cannot be ours, and the descriptor is gone whatever it says.
 * @throws the system's error for a descriptor that is not open, which is a defect
 */
export function closeUnwritten(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBADF') throw error;
  }
}
