/**
 * QEMU's locks on image files: no program reads an image that a virtual machine writes to, and no virtual machine
 * writes to an image that is being read. Each permission has two bytes: a process that uses the permission locks the
 * first, and a process that forbids it to others locks the second (raw_apply_lock_bytes and raw_check_lock_bytes in
 * QEMU's block/file-posix.c). Locks are advisory and end with the open file.
 */
import { Qcow2cError, quoted } from '../errors.js';
import { isByteLocked, lockByte } from './libc.js';

/** Permissions on an image (BLK_PERM_* in QEMU): the distance of their bytes from each of the two bases. */
const READ = 0;
const WRITE = 1;
const RESIZE = 3;
const USED_BASE = 100;
const REFUSED_BASE = 200;
/** QEMU's names of the permissions. */
const NAMES = { [READ]: 'consistent read', [WRITE]: 'write', [RESIZE]: 'resize' };
type Permission = keyof typeof NAMES;

interface Lock {
  readonly does: readonly Permission[];
  /** Permissions that other processes may use. */
  readonly refuses: readonly Permission[];
}

/**
 * `read`: other processes may not write. `read beside writers`: they may (qemu-img -U, and qemu-img's commands that
 * read a raw disk without copying it). `write`: other processes may not write. `replace`: as `read`, of a file that will
 * lose its name.
 */
export type LockUse = 'read' | 'read beside writers' | 'write' | 'replace';

const LOCKS: Readonly<Record<LockUse, Lock>> = {
  read: { does: [READ], refuses: [WRITE, RESIZE] },
  'read beside writers': { does: [READ], refuses: [] },
  write: { does: [READ, WRITE, RESIZE], refuses: [WRITE, RESIZE] },
  replace: { does: [READ], refuses: [WRITE, RESIZE] },
};

/**
 * Takes all locks of a use, then tests whether other processes hold locks that conflict. So if two processes begin at
 * once, at least one sees the other. Does nothing if the system or file system has no such locks.
 * @param descriptor open for reading at least; closing it releases the locks
 * @param name the file's name for the message
 * @throws Qcow2cError ERR_IN_USE
 */
export async function lockImage(descriptor: number, name: string, use: LockUse): Promise<void> {
  const { does, refuses } = LOCKS[use];
  const bytes = [
    ...does.map((permission) => USED_BASE + permission),
    ...refuses.map((permission) => REFUSED_BASE + permission),
  ];
  for (const byte of bytes) await lockByte(descriptor, byte, false);
  for (const permission of does) {
    if (await isByteLocked(descriptor, REFUSED_BASE + permission))
      throw inUse(name, use, `"${NAMES[permission]}"`);
  }
  for (const permission of refuses) {
    if (await isByteLocked(descriptor, USED_BASE + permission))
      throw inUse(name, use, `shared "${NAMES[permission]}"`);
  }
}

/** Advice for the user. Only a reader can continue: two writers would destroy the image. */
const REMEDIES: Readonly<Record<LockUse, string>> = {
  read:
    'stop the virtual machine or the program that writes to it, or read it anyway with -U: recent writes may then ' +
    'be missing or incomplete, as after a power failure',
  'read beside writers': 'stop the program that forbids readers first',
  write: 'stop the virtual machine or the program that uses it first',
  replace: 'stop the virtual machine or the program that writes to it first, or choose another target',
};

function inUse(name: string, use: LockUse, lock: string): Qcow2cError {
  const question = `is another process using the image ${quoted(name)}?`;
  const message = `Failed to get ${lock} lock: ${question} (${REMEDIES[use]})`;
  return new Qcow2cError('ERR_IN_USE', message, { file: name });
}
