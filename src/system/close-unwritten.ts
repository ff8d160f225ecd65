/** Closes descriptors that were used for reading or locking only. */
import { close } from 'node:fs';
import { promisify } from 'node:util';

/**
 * Closes a descriptor through which nothing was written. The system may report the error of an earlier write when a
 * file is closed. That write was not made through this descriptor, and the descriptor is closed in any case, so the
 * error is ignored.
 * @throws the system's error for a descriptor that is not open, which is a defect
 */
export async function closeUnwritten(descriptor: number): Promise<void> {
  try {
    // On another thread, because a network file system may wait for its server.
    await promisify(close)(descriptor);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBADF') throw error;
  }
}
