/** Refuses a file that would be written over what it is made from or belongs to. */
import * as fs from 'node:fs';
import { basename, dirname } from 'node:path';
import { ioError, quoted, usageError } from '../errors.js';
import { layersOf } from '../storage/device-layers.js';

/**
 * @param files every file that is read, and what else is written, under whatever name
 * @param target the name that is to be written
 * @throws Qcow2cError ERR_USAGE when one of the files is the target, lies below it or on it (a loop device and its
 *   file, a partition and its disk); ERR_IO when this cannot be found out
 */
export function refuseSameFile(files: readonly string[], target: string): void {
  const [there, ...thereBelow] = layersAt(target);
  const same = files.find((name) => {
    const [here, ...hereBelow] = layersAt(name);
    if (here === undefined || there === undefined) return false;
    return here === there || hereBelow.includes(there) || thereBelow.includes(here);
  });
  if (same === undefined) return;
  throw usageError(`${quoted(same)} and the target ${quoted(target)} are the same file`, { file: target });
}

/**
 * What the name leads to, and what that consists of: the same for every name of a file or device. For a file that
 * does not exist, the place where it would be made; nothing where none can be.
 */
function layersAt(name: string): string[] {
  try {
    const found = fs.statSync(name, { bigint: true, throwIfNoEntry: false });
    if (found !== undefined) return [...layersOf(found)];
    // The directory's own name need not be UTF-8.
    const directory = fs.realpathSync.native(dirname(name), { encoding: 'buffer' }).toString('latin1');
    return [`${directory}/${basename(name)}`];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw ioError(`Could not open ${quoted(name)}`, error, { file: name });
  }
}
