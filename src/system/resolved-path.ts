/**
 * Where a name leads, found out once, before work begins: a symbolic link or a working directory that changes later
 * changes nothing. Node.js decodes what the system answers, so what is not UTF-8 needs care.
 */
import * as fs from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { Qcow2cError, quoted } from '../errors.js';

/** As many symbolic links as Linux follows in one name. */
const MOST_LINKS = 40;

/**
 * @param path of a file that need not exist; its directory must
 * @returns the same place without symbolic links, as an absolute path unless the directory's own is not UTF-8. A
 *   link that leads to no file leads to the place where one will be made.
 * @throws the system's error; Qcow2cError ERR_UNSUPPORTED for a link to a name that is not UTF-8
 */
export async function resolvedPath(path: string): Promise<string> {
  let place = path;
  for (let links = 0; ; links += 1) {
    const target = await linkTarget(place);
    if (target === undefined) break;
    if (links === MOST_LINKS) {
      throw Object.assign(new Error('too many symbolic links encountered'), { errno: -40, code: 'ELOOP' });
    }
    place = isAbsolute(target) ? target : `${dirname(place)}/${target}`;
  }
  const directory = decoded(await fs.realpath(dirname(place), { encoding: 'buffer' }));
  return directory === undefined ? place : join(directory, basename(place));
}

/** @returns undefined for what is no symbolic link, or is not there */
async function linkTarget(path: string): Promise<string | undefined> {
  try {
    const target = await fs.readlink(path, { encoding: 'buffer' });
    const name = decoded(target);
    if (name !== undefined) return name;
    const shown = quoted(target.toString('latin1'));
    throw new Qcow2cError('ERR_UNSUPPORTED', `${quoted(path)} is a link to ${shown}, which is not UTF-8`, {
      file: path,
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EINVAL' || code === 'ENOENT') return undefined;
    throw error;
  }
}

function decoded(bytes: Buffer): string | undefined {
  const name = bytes.toString();
  return Buffer.from(name).equals(bytes) ? name : undefined;
}
