/** Refuses a target that would be written over what it is made from. */
import * as fs from 'node:fs';
import { quoted, usageError } from '../errors.js';

/**
 * @param files every file that is read, under whatever name
 * @param target the name that is to be written
 * @throws Qcow2cError ERR_USAGE
 */
export function refuseSameFile(files: readonly string[], target: string): void {
  const there = statIfThere(target);
  if (there === undefined) return;
  for (const name of files) {
    const source = statIfThere(name);
    const isDevice = there.isBlockDevice() && source?.isBlockDevice() === true;
    const isSame = isDevice
      ? source.rdev === there.rdev
      : source?.dev === there.dev && source.ino === there.ino;
    if (isSame) {
      throw usageError(`Source ${quoted(name)} and target ${quoted(target)} are the same file`, {
        file: target,
      });
    }
  }
}

/** Why a file cannot be looked at is said by whoever opens it. */
function statIfThere(name: string): fs.BigIntStats | undefined {
  try {
    return fs.statSync(name, { bigint: true });
  } catch {
    return undefined;
  }
}
