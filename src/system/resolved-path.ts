/**
 * Resolves a path once, before work begins, so that later changes of a symbolic link or the working directory have no
 * effect. Node.js decodes the system's answers, so names that are not UTF-8 need care.
 */
import * as fs from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { Qcow2cError, quoted } from '../errors.js';

/** The number of symbolic links that Linux follows in one name. */
const MOST_LINKS = 40;

/**
 * @param path of a file; its directory must exist
 * @returns the path without symbolic links; absolute unless the directory's own is not UTF-8. A link to a missing file
 *   resolves to the path of that file.
 * @throws the system's error; Qcow2cError ERR_UNSUPPORTED for a link to a name that is not UTF-8
 */
export async function resolvedPath(path: string): Promise<string> {
  let current = path;
  for (let links = 0; ; links += 1) {
    const target = await linkTarget(current);
    if (target === undefined) break;
    if (links === MOST_LINKS) {
      throw Object.assign(new Error('too many symbolic links encountered'), { errno: -40, code: 'ELOOP' });
    }
    current = isAbsolute(target) ? target : `${dirname(current)}/${target}`;
  }
  const directory = decoded(await fs.realpath(dirname(current), { encoding: 'buffer' }));
  return directory === undefined ? current : join(directory, basename(current));
}

/** @returns undefined for a missing file or one that is not a symbolic link */
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

/** @returns undefined for bytes that are not UTF-8 */
function decoded(bytes: Buffer): string | undefined {
  const name = bytes.toString();
  return Buffer.from(name).equals(bytes) ? name : undefined;
}
