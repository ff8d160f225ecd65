/**
 * Which other files an image leads to. A raw disk can hold a forged qcow2 header that names any file of the host:
 * so a name in an image is followed only where somebody who may be trusted has said that it is a qcow2 image, and
 * never with --isolated. What the caller named is the caller's. Used by whoever opens images; opens nothing.
 */
import { Qcow2cError, quoted, usageError } from '../errors.js';
import { hasDataFile } from '../qcow2/features.js';
import type { Qcow2ImageHeader } from './image-header.js';
import { backingFilePath, dataFilePath } from './image-name.js';
import { type ImageFormat, type ImageReference, isImageFormat } from './image-reference.js';

/** An image to be opened. */
export interface WantedImage extends ImageReference {
  /**
   * Who left out the format, so that it is guessed: the caller, or the image that names this one as its backing
   * file; undefined when it is stated.
   */
  readonly unstatedBy?: 'caller' | 'overlay' | undefined;
}

/** The files that belong to an image, as paths. */
export interface ReferencedFiles {
  readonly backing: WantedImage | undefined;
  readonly dataFile: string | undefined;
}

/** An image that the caller named. @param format what counts when the caller states none */
export function wantedByCaller(reference: ImageReference, format?: ImageFormat): WantedImage {
  const stated = reference.format ?? format;
  return stated === undefined ? { ...reference, unstatedBy: 'caller' } : { ...reference, format: stated };
}

/**
 * @throws Qcow2cError ERR_UNSUPPORTED for a name that may not be followed or is no file's, and for a backing file
 *   in another format; ERR_CORRUPT when the image does not name what it needs; ERR_USAGE when the caller names
 *   what it cannot have
 */
export function resolveReferencedFiles(
  wanted: WantedImage,
  start: Qcow2ImageHeader,
  isolated: boolean,
): ReferencedFiles {
  refuseNames(wanted, start, isolated);
  return { backing: backingOf(wanted, start), dataFile: dataFileOf(wanted, start) };
}

function refuseNames(
  { file, backing, dataFile, unstatedBy }: WantedImage,
  start: Qcow2ImageHeader,
  isolated: boolean,
): void {
  const name =
    backing === undefined && start.backing !== undefined
      ? `the backing file ${quoted(start.backing)}`
      : dataFile === undefined && start.extensions.dataFile !== undefined
        ? `the data file ${quoted(start.extensions.dataFile)}`
        : undefined;
  if (name === undefined) return;
  if (isolated) {
    throw new Qcow2cError('ERR_UNSUPPORTED', `${quoted(file)} names ${name}, which --isolated refuses`, {
      file,
    });
  }
  if (unstatedBy === undefined) return;
  const state =
    unstatedBy === 'caller'
      ? "if the image is trusted, say so with '-f qcow2' or --image-opts, and if it is a raw disk, with '-f raw'"
      : "if it is trusted, say so with --image-opts (backing.driver=qcow2), or in the overlay with 'qemu-img " +
        "rebase -u -F qcow2', and if it is a raw disk, likewise";
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `${quoted(file)} looks like a qcow2 image and names ${name}, but its format was not stated: a raw disk ` +
      `can hold a forged header that names any file; ${state}`,
    { file },
  );
}

function backingOf(
  { file, backing, unstatedBy }: WantedImage,
  { extensions, backing: name }: Qcow2ImageHeader,
): WantedImage | undefined {
  const { backingFormat } = extensions;
  if (backing === 'none') return undefined;
  if (backing !== undefined) {
    // As in QEMU, the image's own word on the format counts for whatever stands in for its backing file.
    const isStated = unstatedBy === undefined && isImageFormat(backingFormat);
    return wantedByCaller(backing, isStated ? backingFormat : undefined);
  }
  if (name === undefined) return undefined;
  const path = backingFilePath(name, file);
  if (backingFormat === undefined) return { file: path, unstatedBy: 'overlay' };
  if (isImageFormat(backingFormat)) return { file: path, format: backingFormat };
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `${quoted(file)} has a backing file in the format ${quoted(backingFormat)}, which qcow2c does not read; ` +
      'convert it with qemu-img first',
    { file, found: backingFormat, expected: 'raw or qcow2' },
  );
}

function dataFileOf(
  { file, dataFile }: WantedImage,
  { header, extensions }: Qcow2ImageHeader,
): string | undefined {
  const isExternal = hasDataFile(header);
  if (dataFile !== undefined) {
    if (isExternal) return dataFile;
    const why = "'data-file' can only be set for images with an external data file";
    throw usageError(`Could not open ${quoted(file)}: ${why}`, { file });
  }
  if (!isExternal) return undefined;
  if (extensions.dataFile !== undefined) return dataFilePath(extensions.dataFile, file);
  const message = `${quoted(file)} keeps its data in another file, but does not name it; name it with --image-opts`;
  throw new Qcow2cError('ERR_CORRUPT', message, { file });
}
