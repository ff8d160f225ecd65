/** A file that a new target takes the name of: who may write to it meanwhile, and what of it the new one keeps. */
import { constants, fchmod, fchown, fstatSync, type Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { promisify } from 'node:util';
import { lockImage } from './image-lock.js';

const changeOwner = promisify(fchown);
const changeMode = promisify(fchmod);
const PERMISSIONS = 0o7777;
/** With the bit that gives a program its group. */
const GROUP_RIGHTS = 0o2070;
const OTHERS_RIGHTS = 0o007;
/** For the owner or the group in fchown(2). */
const UNCHANGED = -1;

/**
 * Nobody may replace a file that he may not write to, or that a virtual machine is writing to: that would go on
 * with a file without a name. So none may begin to write meanwhile. Readers keep the old image for as long as they
 * have it open.
 * @throws Qcow2cError ERR_IN_USE; the system's error
 * @returns what gives the file up; it never throws
 */
export async function holdExisting(path: string): Promise<() => Promise<void>> {
  const file = await fs.open(path, constants.O_RDWR | constants.O_NONBLOCK);
  // Nothing is written through it.
  const letGo = () => file.close().catch(() => {});
  try {
    await lockImage(file.fd, path, 'read');
  } catch (error) {
    await letGo();
    throw error;
  }
  return letGo;
}

/**
 * The replacement is as accessible as what it replaces. An owner or a group can only be kept with the right to;
 * another group is allowed what everybody is.
 * @param descriptor of the new file
 * @throws the system's error when it cannot be made so
 */
export async function keepOwnership(descriptor: number, { uid, gid, mode }: Stats): Promise<void> {
  await changeOwner(descriptor, uid, gid)
    .catch(() => changeOwner(descriptor, UNCHANGED, gid))
    .catch(() => {});
  const made = fstatSync(descriptor);
  const keepsGroup = made.gid === gid;
  const allowed = keepsGroup ? PERMISSIONS : (PERMISSIONS & ~GROUP_RIGHTS) | ((mode & OTHERS_RIGHTS) << 3);
  // A file system without permissions has the same for every file, and may refuse to set them.
  if ((made.mode & PERMISSIONS) !== (mode & allowed)) await changeMode(descriptor, mode & allowed);
}
