/**
 * Refuses to write over an existing file that is probably not meant to be the target: the target was named first, or
 * forgotten, and so the last source stands in its place. The first bytes of the file decide, not its name.
 */
import { stat } from 'node:fs/promises';
import { ioError, Qcow2cError, quoted, usageError } from '../errors.js';
import type { ImageFormat } from '../image/image-reference.js';
import { PROBE_BYTES, probeFormat } from '../image/probe.js';
import { openRawSource } from '../raw/raw-source.js';

/**
 * A guest's disk may begin with these marks: a raw disk that was made by an earlier run of the same job, too. The marks
 * of the other formats are those of image files and of compressed files.
 */
const MARKS_OF_DISKS = ['raw', 'luks'];

/**
 * @param target an existing file, or any other name, which is let pass
 * @param format of the image that is to be written
 * @throws Qcow2cError ERR_USAGE when the target is a regular file that holds something of another kind: for qcow2
 *   anything but a qcow2 image, for raw an image in another format; ERR_IO when it cannot be read
 */
export async function refuseOtherContent(target: string, format: ImageFormat): Promise<void> {
  const found = await contentOf(target);
  if (found === undefined || found === format) return;
  if (format === 'raw' && MARKS_OF_DISKS.includes(found)) return;
  throw otherContent(target, format, found);
}

/** The error of a target that holds something else. @param found what it holds, one word */
export function otherContent(target: string, format: ImageFormat, found: string): Qcow2cError {
  const problem =
    format === 'qcow2'
      ? `holds ${found} data, not a qcow2 image`
      : `holds ${found} data, and the target would be a raw disk`;
  return usageError(
    `${quoted(target)} exists and ${problem}: if it may be overwritten, state the target's format with -O ${format} ` +
      '(the target is the last name)',
    { file: target, found, expected: format },
  );
}

/**
 * The same for an external data file, whose format cannot be stated.
 * @throws Qcow2cError as `refuseOtherContent`
 */
export async function refuseImageAsDataFile(dataFile: string): Promise<void> {
  const found = await contentOf(dataFile);
  if (found === undefined || MARKS_OF_DISKS.includes(found)) return;
  throw usageError(
    `The data file ${quoted(dataFile)} exists and holds ${found} data, and would be overwritten with the bytes of a raw ` +
      'disk: name another data file, or remove this one first',
    { file: dataFile, found, expected: 'raw' },
  );
}

/** @returns the format that the first bytes announce; undefined for an empty file, and for what is no regular file */
async function contentOf(path: string): Promise<string | undefined> {
  if (!(await holdsBytes(path))) return undefined;
  const file = await openRawSource(path, false);
  try {
    const start = new Uint8Array(PROBE_BYTES);
    return announced(start.subarray(0, await file.read(0, start)), path);
  } finally {
    await file.close();
  }
}

async function holdsBytes(path: string): Promise<boolean> {
  try {
    const stats = await stat(path);
    return stats.isFile() && stats.size > 0;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A name below a file cannot be there; opening the target says so.
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw ioError(`Could not open ${quoted(path)}`, error, { file: path });
  }
}

/** The format that a file's first bytes announce, read or not. */
export function announced(start: Uint8Array, path: string): string {
  try {
    return probeFormat(start, path);
  } catch (error) {
    if (error instanceof Qcow2cError && error.found !== undefined) return String(error.found);
    throw error;
  }
}
