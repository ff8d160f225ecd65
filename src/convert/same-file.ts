/** Refuses a target that is one of its own sources. */
import * as fs from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { ioError, type Qcow2cError, quoted, usageError } from '../errors.js';
import { exportIdentity, isNbdName, parseNbdName } from '../nbd/nbd-name.js';
import { layersOf } from '../system/device-layers.js';

/**
 * @param files the names of every file that is read, and of other files that are written
 * @param target the name of the target
 * @param title the target's name for messages
 * @throws Qcow2cError ERR_USAGE when one of the files is the target, lies below it or on it (a loop device and its
 *   file, a partition and its disk); ERR_IO when this cannot be found out
 */
export async function refuseSameFile(
  files: readonly string[],
  target: string,
  title = target,
): Promise<void> {
  const [there, ...thereBelow] = await layersAt(target);
  if (there === undefined) return;
  for (const name of files) {
    const [here, ...hereBelow] = await layersAt(name);
    if (here === undefined) continue;
    if (here !== there && !hereBelow.includes(there) && !thereBelow.includes(here)) continue;
    throw usageError(`${quoted(name)} and the target ${quoted(title)} are the same file`, { file: title });
  }
}

/**
 * The identity of the file, device or export with a name, and of the files and devices below it. A file that does not
 * exist has its path as its identity; a name under which no file can be created has none.
 */
async function layersAt(name: string): Promise<string[]> {
  if (isNbdName(name)) return [exportIdentity(parseNbdName(name))];
  try {
    return [...layersOf(await fs.stat(name, { bigint: true }))];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTDIR') return [];
    if (code !== 'ENOENT') throw notFoundOut(name, error);
  }
  try {
    // The directory's own name need not be UTF-8.
    const directory = await fs.realpath(dirname(name), { encoding: 'buffer' });
    return [`${directory.toString('latin1')}/${basename(name)}`];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw notFoundOut(name, error);
  }
}

function notFoundOut(name: string, error: unknown): Qcow2cError {
  return ioError(`Could not open ${quoted(name)}`, error, { file: name });
}
