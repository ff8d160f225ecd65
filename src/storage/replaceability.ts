/**
 * Finds out, before work begins, whether a new file can replace an existing one. A file that can be written to cannot
 * always be replaced: it may be a mount point, or its directory may not let this process change names.
 */
import { readFileSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { ioError, Qcow2cError, quoted } from '../errors.js';
import { flagOf } from '../system/file-flags.js';
import { ALLOCATE_KEEPING_LENGTH, fallocate, systemError } from '../system/libc.js';
import { readMounts } from '../system/mounts.js';

const { EBUSY, EPERM } = constants.errno;
const STICKY = 0o1000;
/** The right to remove files of other users from a sticky directory, as a bit of CapEff (capabilities(7)). */
const CAP_FOWNER = 1n << 3n;
/** Bytes allocated as a test for room: every image takes at least a block. */
const BLOCK_BYTES = 4096;
/** Errors of a file system or system that cannot preallocate. */
const NO_PREALLOCATION = ['ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL'];
/** Errors of creating or renaming a file in a directory whose files can still be written to. */
const OF_THE_DIRECTORY = ['EACCES', 'EPERM', 'EROFS', 'EBUSY', 'EXDEV', 'ENOSPC', 'EDQUOT', 'ENAMETOOLONG'];

/**
 * @param path of an existing regular file, absolute and without symbolic links
 * @param name as the caller gave it, for the message
 * @param remedy advice for the message
 * @throws Qcow2cError ERR_IO; the system's error
 */
export async function refuseIrreplaceable(path: string, name: string, remedy: string): Promise<void> {
  const obstacle = await obstacleTo(path);
  if (obstacle === undefined) return;
  const { what, errno } = obstacle;
  throw ioError(`Cannot replace ${quoted(name)}, ${what} (${remedy})`, systemError(errno), { file: name });
}

async function obstacleTo(
  path: string,
): Promise<{ readonly what: string; readonly errno: number } | undefined> {
  const bytes = Buffer.from(path).toString('latin1');
  if (readMounts().some(({ point }) => point === bytes)) {
    return { what: 'which is a mount point, such as a file that is bound into a container', errno: EBUSY };
  }
  const directory = dirname(path);
  const flag = await flagOf(directory);
  if (flag !== undefined) return { what: `whose directory is ${flag} (chattr)`, errno: EPERM };
  const { mode, uid } = await fs.stat(directory);
  const user = process.geteuid?.();
  if ((mode & STICKY) === 0 || user === uid || user === (await fs.stat(path)).uid || mayRenameAll()) {
    return undefined;
  }
  return { what: 'which belongs to another user and is in a sticky directory such as /tmp', errno: EPERM };
}

function mayRenameAll(): boolean {
  try {
    const [, digits] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
    if (digits !== undefined) return (BigInt(`0x${digits}`) & CAP_FOWNER) !== 0n;
  } catch {
    // A system without /proc.
  }
  return process.geteuid?.() === 0;
}

/**
 * Rewords the error of creating a second file beside an existing one, or of renaming it to that file's name.
 * @param what the operation, without the reason
 * @param error the system's, or one with the system's as its cause
 * @param name of the target
 * @param remedy advice for the message
 */
export function replacementError(what: string, error: unknown, name: string, remedy: string): Qcow2cError {
  const cause = error instanceof Qcow2cError && error.cause !== undefined ? error.cause : error;
  const failed = ioError(what, cause, { file: name });
  if (!OF_THE_DIRECTORY.includes(failed.systemCode ?? '')) return failed;
  return ioError(`${what}, which can be written to but not replaced (${remedy})`, cause, { file: name });
}

/**
 * Checks that there is room for a second file; a quota may be full.
 * @param descriptor of the new file, which is empty; its first block is allocated
 * @throws the system's error
 */
export async function refuseFullDisk(descriptor: number): Promise<void> {
  const refused = await fallocate(descriptor, ALLOCATE_KEEPING_LENGTH, 0, BLOCK_BYTES);
  if (refused === undefined || NO_PREALLOCATION.includes(refused.code ?? '')) return;
  throw refused;
}

/**
 * Rewords the error of opening an existing file for writing.
 * @throws Qcow2cError ERR_IO when no free descriptor is left to examine the file
 */
export async function openingError(path: string, error: unknown): Promise<Qcow2cError> {
  const isFlag = (error as NodeJS.ErrnoException).code === 'EPERM';
  const flag = isFlag ? await flagOf(path) : undefined;
  const what = `Could not open ${quoted(path)}`;
  const why =
    flag === undefined
      ? ''
      : `, which is ${flag} ('chattr -${flag === 'immutable' ? 'i' : 'a'}' removes the flag)`;
  return ioError(`${what}${why}`, error, { file: path });
}
