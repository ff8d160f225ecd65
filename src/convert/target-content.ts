/**
 * The content of a target that exists, and whether it may be overwritten. The target may have been named first or
 * forgotten; then the last source stands in its place. The first bytes of the file decide, not its name.
 */
import { stat } from 'node:fs/promises';
import { ioError, Qcow2cError, quoted, usageError } from '../errors.js';
import type { ImageFormat } from '../image/image-reference.js';
import { PROBE_BYTES, probeFormat } from '../image/probe.js';
import { isNbdName } from '../nbd/nbd-name.js';
import { isQcow2 } from '../qcow2/header.js';
import { openRawSource } from '../raw/raw-source.js';
import type { Target } from '../storage/target.js';
import { UnalignedReader } from '../storage/unaligned-reader.js';

/** The first bytes of a file in which a new image is being written in place. */
export const UNFINISHED_MARK: Uint8Array = Buffer.from('qcow2c: this image was never finished\n');

/** A file below this size may hold data without blocks, in its inode. In bytes. */
const SMALLEST_WITHOUT_BLOCKS = 4096;

/**
 * Formats that the disk of a guest may begin with, and so a raw disk that an earlier run of the same job wrote. The
 * other formats are those of image files and of compressed files.
 */
const FORMATS_OF_DISKS = ['raw', 'luks'];

/**
 * The content of a target that is written in place. `image`: a qcow2 image. `nothing`: no data, or the remains of a
 * killed conversion. `data`: any other content, with its format in one word.
 */
type TargetContent = 'image' | 'nothing' | { readonly data: string };

/**
 * @param target open and locked for writing
 * @throws Qcow2cError ERR_IO
 */
export async function contentOfTarget(target: Target): Promise<TargetContent> {
  const { file, kind, existingSize, allocatedBytes } = target;
  if (existingSize === 0) return 'nothing';
  const start = new Uint8Array(PROBE_BYTES);
  const found = start.subarray(0, await new UnalignedReader(file).read(0, start));
  if (isQcow2(found)) return 'image';
  // The content of a device is overwritten without -n, too.
  if (kind === 'device' || isUnfinished(found)) return 'nothing';
  return existingSize >= SMALLEST_WITHOUT_BLOCKS && allocatedBytes === 0
    ? 'nothing'
    : { data: formatOf(found, file.name) };
}

function isUnfinished(start: Uint8Array): boolean {
  return Buffer.compare(start.subarray(0, UNFINISHED_MARK.length), UNFINISHED_MARK) === 0;
}

/**
 * Refuses to overwrite a regular file of another kind: for a qcow2 target every file that is not a qcow2 image, for a
 * raw target an image in another format. Empty files, missing files and devices pass.
 * @throws Qcow2cError ERR_USAGE; ERR_IO when the file cannot be read
 */
export async function refuseOtherContent(target: string, format: ImageFormat): Promise<void> {
  const found = await formatOfFile(target);
  if (found === undefined || found === format) return;
  if (format === 'raw' && FORMATS_OF_DISKS.includes(found)) return;
  throw otherContent(target, format, found);
}

/** @param found the content of the target, in one word */
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
 * Refuses an external data file that holds an image. There is no option to state its format.
 * @throws Qcow2cError as `refuseOtherContent`
 */
export async function refuseImageAsDataFile(dataFile: string): Promise<void> {
  const found = await formatOfFile(dataFile);
  if (found === undefined || FORMATS_OF_DISKS.includes(found)) return;
  throw usageError(
    `The data file ${quoted(dataFile)} exists and holds ${found} data, and would be overwritten with the bytes of a raw ` +
      'disk: name another data file, or remove this one first',
    { file: dataFile, found, expected: 'raw' },
  );
}

/** @returns the format of the first bytes; undefined for an empty file, and for a name of no regular file */
async function formatOfFile(path: string): Promise<string | undefined> {
  if (!(await holdsBytes(path))) return undefined;
  const file = await openRawSource(path, false);
  try {
    const start = new Uint8Array(PROBE_BYTES);
    return formatOf(start.subarray(0, await file.read(0, start)), path);
  } finally {
    await file.close();
  }
}

async function holdsBytes(path: string): Promise<boolean> {
  // An export is overwritten like a device.
  if (isNbdName(path)) return false;
  try {
    const stats = await stat(path);
    return stats.isFile() && stats.size > 0;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ENOTDIR: a part of the path is a file. Opening the target reports it.
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw ioError(`Could not open ${quoted(path)}`, error, { file: path });
  }
}

/** The format of a file's first bytes, whether or not qcow2c reads it. */
function formatOf(start: Uint8Array, path: string): string {
  try {
    return probeFormat(start, path);
  } catch (error) {
    if (error instanceof Qcow2cError && error.found !== undefined) return String(error.found);
    throw error;
  }
}
