/** Refuses a file that would be written over what it is made from or belongs to. */
import * as fs from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { ioError, type Qcow2cError, quoted, usageError } from '../errors.js';
import { layersOf } from '../system/device-layers.js';

/**
 * @param files every file that is read, and what else is written, under whatever name
 * @param target the name that is to be written
 * @throws Qcow2cError ERR_USAGE when one of the files is the target, lies below it or on it (a loop device and its
 *   file, a partition and its disk); ERR_IO when this cannot be found out
 */
export async function refuseSameFile(files: readonly string[], target: string): Promise<void> {
  const [there, ...thereBelow] = await layersAt(target);
  if (there === undefined) return;
  for (const name of files) {
    const [here, ...hereBelow] = await layersAt(name);
    if (here === undefined) continue;
    if (here !== there && !hereBelow.includes(there) && !thereBelow.includes(here)) continue;
    throw usageError(`${quoted(name)} and the target ${quoted(target)} are the same file`, { file: target });
  }
}

/**
 * What the name leads to, and what that consists of: the same for every name of a file or device. For a file that
 * does not exist, the place where it would be made; nothing where none can be.
 */
async function layersAt(name: string): Promise<string[]> {
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
