/** The size that the source's persistent dirty bitmaps take up in a new image, whatever their content. */
import { roundDown } from '../arithmetic.js';
import { quoted } from '../errors.js';
import { staleBitmaps } from '../image/dirty-bitmap.js';
import type { Qcow2ImageHeader } from '../image/image-header.js';
import { clustersOfBitmaps, readBitmapDirectory } from '../qcow2/bitmap-directory.js';
import type { ImageParameters } from '../qcow2/create-options.js';
import { SECTOR_SIZE } from '../sector.js';

/**
 * The rules are those of QEMU (qcow2_get_persistent_dirty_bitmap_size): every cluster of every bitmap is taken to
 * be needed, inconsistent bitmaps included.
 * @param source undefined for another format
 * @param target the new image
 * @returns bytes; undefined if source or target cannot have bitmaps
 * @throws Qcow2cError as readBitmapDirectory
 */
export async function bitmapsSize(
  source: Qcow2ImageHeader | undefined,
  { version, geometry: { clusterSize } }: ImageParameters,
  onWarning: ((message: string) => void) | undefined,
): Promise<number | undefined> {
  if (source === undefined || source.header.version === 2 || version === 2) return undefined;
  const { file, header, extensions } = source;
  if (extensions.staleBitmaps) {
    onWarning?.(`${staleBitmaps(quoted(file.name))}, and none is measured`);
  }
  if (extensions.bitmaps === undefined) return 0;
  const diskSize = roundDown(header.virtualSize, SECTOR_SIZE);
  const bitmaps = await readBitmapDirectory(file, header, extensions.bitmaps);
  return clustersOfBitmaps(bitmaps, diskSize, clusterSize) * clusterSize;
}
