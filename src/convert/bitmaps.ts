/** The persistent dirty bitmaps that are copied from the source to the target. */
import { Qcow2cError, quoted, usageError } from '../errors.js';
import { noBitmaps, staleBitmaps } from '../image/dirty-bitmap.js';
import type { OpenedImage } from '../image/open-image.js';
import { type Bitmap, clustersOfBitmaps, readBitmapDirectory } from '../qcow2/bitmap-directory.js';
import { readBitmap } from '../qcow2/bitmap-reader.js';
import type { BitmapContent } from '../qcow2/bitmap-writer.js';
import type { ImageParameters } from '../qcow2/create-options.js';
import { TableBudget } from '../qcow2/table-budget.js';
import { onlyImage } from './image-input.js';
import type { ConvertOptions } from './options.js';

/** The bitmaps to copy. */
interface BitmapCopy {
  /** The maximum number of host clusters that they take in a new image. */
  readonly clusters: number;
  readonly contents: readonly BitmapContent[];
}

const NO_BITMAPS: BitmapCopy = { clusters: 0, contents: [] };

/**
 * Chooses the bitmaps, before the target is written. The rules are those of qemu-img (convert_check_bitmaps).
 * @param images the sources; none for a stream
 * @param targetSize of the target's disk, in bytes; undefined for a stream
 * @param taken names of bitmaps that the target has
 * @throws Qcow2cError ERR_USAGE when source or target cannot have bitmaps, or when their disks differ in size;
 *   ERR_CORRUPT for an inconsistent bitmap, unless these are to be skipped; their contents: also for shared clusters
 */
export async function bitmapsToCopy(
  { bitmaps: wanted, onWarning }: ConvertOptions,
  { version, geometry: { clusterSize } }: ImageParameters,
  images: readonly OpenedImage[],
  targetSize: number | undefined,
  taken: readonly string[] = [],
): Promise<BitmapCopy> {
  if (wanted === undefined || images.length === 0) return NO_BITMAPS;
  const image = onlyImage({ images });
  const { qcow2 } = image.layers[0];
  if (qcow2 === undefined) throw noBitmaps(image.source.name, 'is a raw disk');
  if (qcow2.header.version === 2) throw noBitmaps(image.source.name, 'is a qcow2 image of version 2');
  const { file, header, extensions } = qcow2;
  if (version === 2) throw usageError("Format driver 'qcow2' does not support bitmaps in version 2");
  if (extensions.staleBitmaps) {
    onWarning?.(`${staleBitmaps(quoted(file.name))}, and none is copied`);
  }
  const found =
    extensions.bitmaps === undefined ? [] : await readBitmapDirectory(file, header, extensions.bitmaps);
  const chosen: Bitmap[] = [];
  for (const bitmap of found) {
    if (!bitmap.inUse) {
      chosen.push(bitmap);
    } else if (wanted === 'all') {
      throw new Qcow2cError(
        'ERR_CORRUPT',
        `Cannot copy inconsistent bitmap ${quoted(bitmap.name)} of ${quoted(file.name)}; ` +
          "try --skip-broken-bitmaps, or use 'qemu-img bitmap --remove' to delete it",
        { file: file.name, found: bitmap.name },
      );
    } else {
      onWarning?.(`Skipping inconsistent bitmap ${quoted(bitmap.name)}`);
    }
  }
  const clash = chosen.find(({ name }) => taken.includes(name));
  if (clash !== undefined) {
    throw usageError(
      `Failed to create bitmap ${clash.name}: Bitmap already exists: ${clash.name}; remove it from the target with ` +
        "'qemu-img bitmap --remove'",
      { found: clash.name },
    );
  }
  const { size: virtualSize } = image.source;
  const [first] = chosen;
  if (first !== undefined && targetSize !== virtualSize) {
    throw usageError(
      `Failed to populate bitmap ${quoted(first.name)}: Bitmaps are of different sizes (destination size is ` +
        `${targetSize}, source size is ${virtualSize}) and can't be merged`,
      { file: file.name, expected: virtualSize, found: targetSize },
    );
  }
  if (first === undefined) return NO_BITMAPS;
  // A forged image whose bitmaps share clusters could make the target far larger than the source.
  const budget = new TableBudget(file, 'bitmaps', 0);
  return {
    clusters: clustersOfBitmaps(chosen, virtualSize, clusterSize),
    contents: chosen.map((bitmap) => ({
      bitmap,
      clusters: readBitmap(file, header, bitmap, { clusterSize, virtualSize }, budget),
    })),
  };
}
