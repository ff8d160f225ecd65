/** Refuses a file that would be written over what it is made from or belongs to. */
import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ioError, quoted, usageError } from '../errors.js';
import { fileIdentity } from '../storage/file-identity.js';

/**
 * @param files every file that is read, and what else is written, under whatever name
 * @param target the name that is to be written
 * @throws Qcow2cError ERR_USAGE; ERR_IO when it cannot be told
 */
export function refuseSameFile(files: readonly string[], target: string): void {
  const there = placeOf(target);
  const same = files.find((name) => there !== undefined && placeOf(name) === there);
  if (same === undefined) return;
  throw usageError(`${quoted(same)} and the target ${quoted(target)} are the same file`, { file: target });
}

/**
 * The same for every name of a file or device; of one that does not exist, where it would be made; undefined where
 * nothing can be.
 */
function placeOf(name: string): string | undefined {
  try {
    const found = fs.statSync(name, { bigint: true, throwIfNoEntry: false });
    if (found === undefined) return join(fs.realpathSync(dirname(name)), basename(name));
    return fileIdentity(found);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw ioError(`Could not open ${quoted(name)}`, error, { file: name });
  }
}
