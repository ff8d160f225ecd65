/** The file whose name a new target takes: who may write to it meanwhile, and why it may not be opened. */
import { constants, type Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { lockImage } from '../system/image-lock.js';

export interface HeldFile {
  readonly descriptor: number;
  readonly stats: Stats;
  /** Gives the file up. Never throws. */
  letGo(): Promise<void>;
}

/**
 * A file that cannot be written to, or that a virtual machine writes to, must not be replaced: the machine would go on
 * with a file that has no name. So no program may begin to write to it meanwhile. Readers keep the old image for as long
 * as they have it open.
 * @throws Qcow2cError ERR_IN_USE; the system's error
 */
export async function holdExisting(path: string): Promise<HeldFile> {
  const file = await fs.open(path, constants.O_RDWR | constants.O_NONBLOCK);
  // Nothing is written through it.
  const letGo = () => file.close().catch(() => {});
  try {
    await lockImage(file.fd, path, 'read');
    return { descriptor: file.fd, stats: await file.stat(), letGo };
  } catch (error) {
    await letGo();
    throw error;
  }
}
