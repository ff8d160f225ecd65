/** Opens a target; the file behind the name decides its kind. */
import type { Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { ioError, Qcow2cError, quoted } from '../errors.js';
import type { CacheMode } from './cache-mode.js';
import { openInPlaceTarget } from './in-place-target.js';
import { createTarget, replaceTarget } from './new-target.js';
import type { Target } from './target.js';
import { TemporaryFiles } from './temporary-files.js';

/** Advice for the error of a file that can be written to but not replaced. */
const WRITE_IN_PLACE = 'with -n it is written in place';

/**
 * Opens the target under `path`. A name that does not exist becomes a new file. A block device is written in place. A
 * regular file is replaced by a new one, or written in place if `inPlace` is set. Every other file is refused.
 * @param inPlace write into the existing file instead of replacing it
 * @param remedy advice for the error of an existing file that cannot be replaced
 * @param temporaryFiles of the run; they can be removed even while a system call on them hangs
 * @throws Qcow2cError ERR_IO, ERR_IN_USE, ERR_UNSUPPORTED; ERR_USAGE for a new file in a directory of devices
 */
export async function openTarget(
  path: string,
  mode: CacheMode,
  inPlace: boolean,
  remedy = WRITE_IN_PLACE,
  temporaryFiles = new TemporaryFiles(),
): Promise<Target> {
  const existing = await statIfPresent(path);
  if (existing === undefined) {
    if (inPlace) {
      const missing = Object.assign(new Error('no such file or directory'), { errno: -2, code: 'ENOENT' });
      throw ioError(`Could not open ${quoted(path)}`, missing, { file: path });
    }
    return createTarget(path, mode, temporaryFiles);
  }
  if (existing.isDirectory()) {
    throw new Qcow2cError('ERR_IO', `Could not open ${quoted(path)}: Is a directory`, { file: path });
  }
  if (existing.isBlockDevice()) return openInPlaceTarget(path, mode, 'device');
  if (!existing.isFile()) {
    const reason = 'it is neither a regular file nor a block device';
    throw new Qcow2cError('ERR_UNSUPPORTED', `Cannot write to ${quoted(path)}: ${reason}`, { file: path });
  }
  return inPlace
    ? openInPlaceTarget(path, mode, 'existing')
    : replaceTarget(path, mode, remedy, temporaryFiles);
}

async function statIfPresent(path: string): Promise<Stats | undefined> {
  try {
    return await fs.stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw ioError(`Could not open ${quoted(path)}`, error, { file: path });
  }
}
