/** Images with invalid bitmaps. Part of corrupt-images.ts. */
import type { Base } from './corrupt-bases.js';
import { type CorruptImage, corrupt } from './corrupt-image.js';
import { HEADER } from './corrupt-image-bytes.js';

const BITMAPS: Base = { with: 'bitmaps' };

export const CORRUPT_BITMAPS: readonly CorruptImage[] = [
  corrupt('bitmaps/sound', 0, BITMAPS, () => {}),
  corrupt('bitmaps/sound, clusters of 4096', 0, { ...BITMAPS, clusterSize: 4096 }, () => {}),
  corrupt('bitmaps/table entry with reserved bits', 1, BITMAPS, (image) =>
    image.edit(image.bitmapTable, (entry) => entry | (1n << 60n)),
  ),
  corrupt('bitmaps/table entry with reserved low bits', 1, BITMAPS, (image) =>
    image.edit(image.bitmapTable, (entry) => entry | 2n),
  ),
  corrupt('bitmaps/table entry of ones with an offset', 1, BITMAPS, (image) =>
    image.edit(image.bitmapTable, (entry) => entry | 1n),
  ),
  corrupt('bitmaps/table entry unaligned', 1, BITMAPS, (image) =>
    image.edit(image.bitmapTable, (entry) => entry + 512n),
  ),
  corrupt('bitmaps/table entry past the end', 2, BITMAPS, (image) =>
    image.setU64(image.bitmapTable, BigInt((image.clusters + 5) * image.clusterSize)),
  ),
  corrupt('bitmaps/table entry for a data cluster', 2, BITMAPS, (image) =>
    image.setU64(image.bitmapTable, BigInt(image.hostClusterOf(0) * image.clusterSize)),
  ),
  corrupt('bitmaps/bits leaked', 3, BITMAPS, (image) => image.setU64(image.bitmapTable, 0n)),
  corrupt('bitmaps/refcount of the bits zero', 2, BITMAPS, (image) =>
    image.setRefcount(image.offsetIn(image.bitmapTable) / image.clusterSize, 0),
  ),
  corrupt('bitmaps/refcount of the table too high', 3, BITMAPS, (image) =>
    image.setRefcount(image.bitmapTable / image.clusterSize, 3),
  ),
  corrupt('bitmaps/refcount of the directory zero', 2, BITMAPS, (image) =>
    image.setRefcount(image.bitmapDirectory / image.clusterSize, 0),
  ),
  corrupt('bitmaps/table unaligned', 1, BITMAPS, (image) =>
    image.edit(image.bitmapDirectory, (at) => at + 8n),
  ),
  corrupt('bitmaps/table past the end', 2, BITMAPS, (image) =>
    image.setU64(image.bitmapDirectory, BigInt((image.clusters + 5) * image.clusterSize)),
  ),
  corrupt('bitmaps/directory past the end', 1, BITMAPS, (image) =>
    image.setU64(image.bitmapsExtensionAt + 16, BigInt((image.clusters + 5) * image.clusterSize)),
  ),
  corrupt('bitmaps/directory unaligned', 1, BITMAPS, (image) =>
    image.edit(image.bitmapsExtensionAt + 16, (at) => at + 8n),
  ),
  corrupt('bitmaps/directory of zeros', 1, BITMAPS, (image) =>
    image.bytes.fill(0, image.bitmapDirectory, image.bitmapDirectory + 64),
  ),
  corrupt('bitmaps/directory entry with reserved flags', 1, BITMAPS, (image) =>
    image.setU32(image.bitmapDirectory + 12, 0x80),
  ),
  corrupt('bitmaps/directory entry with a long name', 1, BITMAPS, (image) =>
    image.setU16(image.bitmapDirectory + 18, 60000),
  ),
  corrupt('bitmaps/more than there are', 1, BITMAPS, (image) => image.setU32(image.bitmapsExtensionAt, 3)),
  corrupt('bitmaps/none', 1, BITMAPS, (image) => image.setU32(image.bitmapsExtensionAt, 0)),
  corrupt('bitmaps/in use', 0, BITMAPS, (image) => image.setU32(image.bitmapDirectory + 12, 3)),
  corrupt('bitmaps/stale', 3, BITMAPS, (image) => image.setU64(HEADER.autoclear, 0n)),
  corrupt('bitmaps/refcount of a data cluster too low', 2, BITMAPS, (image) =>
    image.setRefcount(image.hostClusterOf(2), 1),
  ),
];
