/** Holds the file that a new target replaces, so that no other program writes to it meanwhile. */
import { constants, type Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { lockImage } from '../system/image-lock.js';

export interface HeldFile {
  readonly descriptor: number;
  readonly stats: Stats;
  /** Closes the file. Never throws. */
  letGo(): Promise<void>;
}

/**
 * Opens and locks the file that is to be replaced. A file that cannot be written to, or that a virtual machine writes
 * to, must not be replaced: the machine would continue with a file that has no name. So no program may begin to write
 * to it meanwhile. Readers keep the old image while they have it open.
 * @throws Qcow2cError ERR_IN_USE; the system's error
 */
export async function holdExisting(path: string): Promise<HeldFile> {
  const file = await fs.open(path, constants.O_RDWR | constants.O_NONBLOCK);
  // Not used for writing.
  const letGo = () => file.close().catch(() => {});
  try {
    await lockImage(file.fd, path, 'replace');
    return { descriptor: file.fd, stats: await file.stat(), letGo };
  } catch (error) {
    await letGo();
    throw error;
  }
}
