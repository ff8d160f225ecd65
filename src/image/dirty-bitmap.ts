/** Finds a dirty bitmap, which lists the changes of a disk. */
import { Qcow2cError, quoted, usageError } from '../errors.js';
import { BitmapChanges } from '../qcow2/bitmap-changes.js';
import { readBitmapDirectory } from '../qcow2/bitmap-directory.js';
import type { Qcow2ImageHeader } from './image-header.js';
import type { ChangeMap, OpenedFile } from './source.js';

/** How many names of bitmaps an error lists. */
const LISTED_NAMES = 10;

/**
 * Finds a persistent bitmap of a qcow2 image. A disabled bitmap lists the changes up to the time of disabling.
 * @returns a function that opens the bitmap for one walk
 * @throws Qcow2cError ERR_USAGE if the image has no such bitmap; ERR_CORRUPT for an inconsistent one, and as
 *   readBitmapDirectory; ERR_IO
 */
export async function openBitmap(
  { file, header, extensions }: Qcow2ImageHeader,
  name: string,
): Promise<() => ChangeMap> {
  if (header.version === 2) throw noBitmaps(file.name, 'is a qcow2 image of version 2');
  if (extensions.staleBitmaps) {
    throw inconsistent(file.name, name, 'a program without bitmap support has modified the image');
  }
  const bitmaps =
    extensions.bitmaps === undefined ? [] : await readBitmapDirectory(file, header, extensions.bitmaps);
  const found = bitmaps.find((bitmap) => bitmap.name === name);
  if (found === undefined) throw notFound(file.name, name, bitmaps);
  if (found.inUse) {
    throw inconsistent(
      file.name,
      name,
      'it was not saved when the image was last used, or a virtual machine uses the image now (then read the disk ' +
        'over NBD)',
    );
  }
  return () => new BitmapChanges(file, header, found);
}

/**
 * Finds the bitmap of an export that is a raw disk.
 * @param offset of the disk in the export, in bytes
 * @returns a function that opens the bitmap for one walk
 * @throws Qcow2cError ERR_USAGE if the server has no such bitmap, and for a file
 */
export function bitmapOfExport(file: OpenedFile, name: string, offset = 0): () => ChangeMap {
  if (file.bitmapChanges === undefined) throw noBitmaps(file.name, 'is a raw disk');
  const changes = file.bitmapChanges(name);
  return () => ({ changesAt: (at) => changes.changesAt(at + offset) });
}

/** QEMU's clause about bitmaps that may lack changes. @param file the image, in words or quoted */
export function staleBitmaps(file: string): string {
  return `a program lacking bitmap support modified ${file}, so all bitmaps are now considered inconsistent`;
}

/** The error of a bitmap in an image that can have none. @param why a clause about the image */
export function noBitmaps(file: string, why: string): Qcow2cError {
  return usageError(`Source lacks bitmap support: ${quoted(file)} ${why}`, { file });
}

function inconsistent(file: string, name: string, why: string): Qcow2cError {
  return new Qcow2cError(
    'ERR_CORRUPT',
    `The bitmap ${quoted(name)} of ${quoted(file)} is inconsistent and may lack changes: ${why}; make a full backup, ` +
      'and start a new bitmap with it',
    { file, found: name },
  );
}

function notFound(file: string, name: string, bitmaps: readonly { readonly name: string }[]): Qcow2cError {
  const names = bitmaps.slice(0, LISTED_NAMES).map((bitmap) => quoted(bitmap.name));
  const more = bitmaps.length > names.length ? ` and ${bitmaps.length - names.length} more` : '';
  const has = names.length === 0 ? 'has none' : `has ${names.join(', ')}${more}`;
  return usageError(`Dirty bitmap ${quoted(name)} not found: ${quoted(file)} ${has}`, {
    file,
    expected: name,
  });
}
