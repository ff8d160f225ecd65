/**
 * QEMU's locks on image files, so that nobody reads what a virtual machine is writing to, and no virtual machine
 * writes to what is being read. Two bytes stand for each thing that can be done to an image: whoever does it
 * holds a lock on the first, whoever cannot bear that others do it holds one on the second (raw_apply_lock_bytes
 * and raw_check_lock_bytes in QEMU's block/file-posix.c). Locks are advisory and end with the open file.
 */
import { Qcow2cError, quoted } from '../errors.js';
import { isByteLocked, lockByte } from './libc.js';

/** What can be done to an image (BLK_PERM_* in QEMU): the number of its bytes from each of the two bases. */
const READ = 0;
const WRITE = 1;
const RESIZE = 3;
const USED_BASE = 100;
const REFUSED_BASE = 200;
/** How QEMU calls them. */
const NAMES = { [READ]: 'consistent read', [WRITE]: 'write', [RESIZE]: 'resize' };
type Permission = keyof typeof NAMES;

interface Lock {
  readonly does: readonly Permission[];
  /** Of others. */
  readonly refuses: readonly Permission[];
}

/**
 * `read`: nobody may write meanwhile. `read beside writers`: what is read may change (qemu-img -U, and whatever
 * qemu-img looks at a raw disk for without copying it). `write`: nobody else may.
 */
export type ImageUse = 'read' | 'read beside writers' | 'write';

const LOCKS: Readonly<Record<ImageUse, Lock>> = {
  read: { does: [READ], refuses: [WRITE, RESIZE] },
  'read beside writers': { does: [READ], refuses: [] },
  write: { does: [READ, WRITE, RESIZE], refuses: [WRITE, RESIZE] },
};

/**
 * Takes the locks of a use, all of them, then looks whether others have any that contradict it: so of two who
 * begin at once at least one sees the other. On systems and file systems without such locks it does nothing.
 * @param descriptor open for reading at least; its closing gives the locks back
 * @param name the file's name for the message
 * @throws Qcow2cError ERR_IN_USE
 */
export async function lockImage(descriptor: number, name: string, use: ImageUse): Promise<void> {
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

/** What to do about it. Only a reader can go on: two writers destroy the image. */
const REMEDIES: Readonly<Record<ImageUse, string>> = {
  read:
    'stop the virtual machine or the program that writes to it, or read it nevertheless with -U: what is written ' +
    'meanwhile may then be missing or half there, as after a power failure',
  'read beside writers': 'stop the program that refuses every reader first',
  write: 'stop the virtual machine or the program that uses it first',
};

function inUse(name: string, use: ImageUse, lock: string): Qcow2cError {
  const question = `is another process using the image ${quoted(name)}?`;
  const message = `Failed to get ${lock} lock: ${question} (${REMEDIES[use]})`;
  return new Qcow2cError('ERR_IN_USE', message, { file: name });
}
