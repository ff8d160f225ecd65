/**
 * Decides which other files an image may refer to. A guest can write a forged qcow2 header into a raw disk, and the
 * header can name any file of the host. Names stored in an image are followed only if the caller or a trusted overlay
 * states that the image is qcow2, and never with --isolated. Names that the caller gives are always followed. Opens
 * nothing.
 */
import { Qcow2cError, quoted, usageError } from '../errors.js';
import { isNbdName, parseNbdName } from '../nbd/nbd-name.js';
import { hasDataFile } from '../qcow2/features.js';
import type { Qcow2ImageHeader } from './image-header.js';
import { backingFilePath, dataFilePath } from './image-name.js';
import { type ImageFormat, type ImageReference, isImageFormat } from './image-reference.js';
import type { NamedPlace } from './open-named.js';
import { type FormatOrigin, formatStatement } from './unstated-format.js';

/** An image to be opened. */
export interface WantedImage extends ImageReference, NamedPlace, FormatOrigin {}

/** The files that belong to an image. */
interface ReferencedFiles {
  readonly backing: WantedImage | undefined;
  readonly dataFile: NamedPlace | undefined;
}

/**
 * @param reference an image that the caller named
 * @param format used if the reference states none
 * @throws Qcow2cError ERR_USAGE for a malformed name of an NBD export
 */
export function wantedByCaller(reference: ImageReference, format?: ImageFormat): WantedImage {
  const wanted = { ...reference, ...placeOf(reference.file) };
  const stated = reference.format ?? format;
  return stated === undefined ? { ...wanted, unstatedBy: 'caller' } : { ...wanted, format: stated };
}

/**
 * Resolves a name stored in an image: that of a file, or of an NBD export if the caller allows these.
 * @param path resolves the name of a file
 */
export function storedPlace(name: string, allowNbd: boolean, path: () => string): NamedPlace {
  return allowNbd && isNbdName(name) ? placeOf(name) : { file: path() };
}

/** Resolves a name from the caller: that of a file or an NBD export. @throws Qcow2cError ERR_USAGE as parseNbdName */
export function placeOf(name: string): NamedPlace {
  if (!isNbdName(name)) return { file: name };
  const nbd = parseNbdName(name);
  return { file: nbd.name, nbd };
}

/**
 * @throws Qcow2cError ERR_UNSUPPORTED for a name that may not be followed or is a protocol, and for a backing file in a
 *   format that is not read; ERR_CORRUPT if the image does not name a file that it needs; ERR_USAGE if the caller gives
 *   an option that the image does not allow
 */
export function resolveReferencedFiles(
  wanted: WantedImage,
  start: Qcow2ImageHeader,
  isolated: boolean,
  allowNbd = false,
): ReferencedFiles {
  refuseNames(wanted, start, isolated);
  return { backing: backingOf(wanted, start, allowNbd), dataFile: dataFileOf(wanted, start, allowNbd) };
}

function refuseNames(wanted: WantedImage, start: Qcow2ImageHeader, isolated: boolean): void {
  const { file, backing, dataFile, unstatedBy } = wanted;
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
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `${quoted(file)} looks like a qcow2 image and names ${name}, but its format was not stated: a raw disk ` +
      `can hold a forged header that names any file; state its format with ${formatStatement('FMT', wanted)}: raw ` +
      'for a raw disk, qcow2 if you trust the image',
    { file },
  );
}

function backingOf(
  { file, backing, unstatedBy }: WantedImage,
  { extensions, backing: name }: Qcow2ImageHeader,
  allowNbd: boolean,
): WantedImage | undefined {
  const { backingFormat } = extensions;
  if (backing === 'none') return undefined;
  if (backing !== undefined) {
    // As in QEMU, the format stored in the image also applies to a backing file that replaces the stored one.
    const isStated = unstatedBy === undefined && isImageFormat(backingFormat);
    return wantedByCaller(backing, isStated ? backingFormat : undefined);
  }
  if (name === undefined) return undefined;
  const place = storedPlace(name, allowNbd, () => backingFilePath(name, file));
  if (backingFormat === undefined) return { ...place, unstatedBy: 'overlay' };
  if (isImageFormat(backingFormat)) return { ...place, format: backingFormat };
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
  allowNbd: boolean,
): NamedPlace | undefined {
  const isExternal = hasDataFile(header);
  if (dataFile !== undefined) {
    if (isExternal) return placeOf(dataFile);
    const why = "'data-file' can only be set for images with an external data file";
    throw usageError(`Could not open ${quoted(file)}: ${why}`, { file });
  }
  if (!isExternal) return undefined;
  const { dataFile: name } = extensions;
  if (name !== undefined) return storedPlace(name, allowNbd, () => dataFilePath(name, file));
  const message = `${quoted(file)} stores its data in another file but does not name it; give the name with --image-opts`;
  throw new Qcow2cError('ERR_CORRUPT', message, { file });
}
