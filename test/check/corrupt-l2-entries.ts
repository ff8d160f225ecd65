/** Images with invalid L2 entries of every kind. Part of corrupt-images.ts. */
import type { Base } from './corrupt-bases.js';
import { type Change, entryOf, l2, pastTheEnd, sectorBits } from './corrupt-entries.js';
import { type CorruptImage, corrupt } from './corrupt-image.js';
import { COMPRESSED, COPIED, ZERO_FLAG } from './corrupt-image-bytes.js';

const PLAIN: Base = {};

const L2_ENTRIES: readonly CorruptImage[] = [
  corrupt(
    'L2/data cluster unaligned',
    2,
    PLAIN,
    l2(0, (entry) => entry + 512n),
  ),
  corrupt(
    'L2/data cluster past the end',
    2,
    PLAIN,
    l2(7, (_, image) => pastTheEnd(image) | COPIED),
  ),
  corrupt(
    'L2/data cluster far past the end',
    2,
    PLAIN,
    l2(7, () => (1n << 55n) | COPIED),
  ),
  corrupt(
    'L2/data cluster just past the end',
    2,
    PLAIN,
    l2(7, (_, image) => pastTheEnd(image, 0) | COPIED),
  ),
  corrupt(
    'L2/reserved bits',
    2,
    PLAIN,
    l2(0, (entry) => entry | (1n << 3n)),
  ),
  corrupt(
    'L2/high reserved bits',
    2,
    PLAIN,
    l2(0, (entry) => entry | (1n << 60n)),
  ),
  corrupt(
    'L2/reserved bits of an unallocated cluster',
    2,
    PLAIN,
    l2(7, () => 1n << 57n),
  ),
  corrupt(
    'L2/zero flag in version 2',
    0,
    { version: 2 },
    l2(0, (entry) => entry | ZERO_FLAG),
  ),
  corrupt(
    'L2/zero cluster unaligned',
    2,
    PLAIN,
    l2(5, (entry) => entry + 512n),
  ),
  corrupt('L2/two zero clusters unaligned', 2, PLAIN, (image) => {
    image.edit(image.l2EntryAt(5), (entry) => entry + 512n);
    image.setU64(image.l2EntryAt(7), 0x1200n | ZERO_FLAG | COPIED);
  }),
  corrupt(
    'L2/zero cluster past the end',
    2,
    PLAIN,
    l2(7, (_, image) => pastTheEnd(image) | ZERO_FLAG | COPIED),
  ),
  corrupt('L2/entry past the end of the disk', 2, PLAIN, (image) => {
    // The disk ends in the middle of a third L2 table's range.
    const table = image.append();
    image.setRefcount(table / image.clusterSize, 1);
    image.setU64(image.l1EntryAt(2), BigInt(table) | COPIED);
    image.setU64(table + image.clusterSize - 8, image.u64(image.l2EntryAt(0)));
  }),
  corrupt('L2/counted entry past the end of the disk', 0, PLAIN, (image) => {
    const [table, data] = [image.append(), image.append()];
    for (const offset of [table, data]) image.setRefcount(offset / image.clusterSize, 1);
    image.setU64(image.l1EntryAt(2), BigInt(table) | COPIED);
    image.setU64(table + image.clusterSize - 8, BigInt(data) | COPIED);
  }),
  corrupt('L2/table of ones', 2, PLAIN, (image) =>
    image.bytes.fill(0xff, image.l2TableOffset(1), image.l2TableOffset(1) + image.clusterSize),
  ),
  corrupt('L2/small table of noise', 2, { clusterSize: 512 }, (image) => {
    const table = image.l2TableOffset(1);
    for (let at = 0; at < 512; at += 1) image.bytes[table + at] = (at * at * 31 + at * 7) % 251;
  }),
];

const COMPRESSED_CLUSTERS: readonly CorruptImage[] = [
  corrupt(
    'compressed/past the end',
    2,
    PLAIN,
    l2(7, (_, image) => COMPRESSED | pastTheEnd(image)),
  ),
  corrupt(
    'compressed/far past the end',
    2,
    PLAIN,
    l2(7, () => COMPRESSED | (1n << 50n)),
  ),
  corrupt('compressed/reaches past the end', 0, PLAIN, (image) => {
    const cluster = image.append() / image.clusterSize;
    const last = BigInt(image.bytes.length - 512);
    image.setU64(image.l2EntryAt(7), COMPRESSED | last | (9n << sectorBits(image)));
    image.setRefcount(cluster, 1);
    image.setRefcount(cluster + 1, 1);
  }),
  corrupt('compressed/length crosses into the next cluster', 2, PLAIN, (image) => {
    const most = (1n << (62n - sectorBits(image))) - 1n;
    image.edit(image.l2EntryAt(3), (entry) => entry | (most << sectorBits(image)));
  }),
  corrupt(
    'compressed/in the header',
    2,
    PLAIN,
    l2(7, () => COMPRESSED | 1024n),
  ),
  corrupt(
    'compressed/in an L2 table',
    2,
    PLAIN,
    l2(7, (_, image) => COMPRESSED | BigInt(image.l2TableOffset(0) + 100)),
  ),
  corrupt('compressed/crossing payload counted too low', 2, PLAIN, (image) => {
    const cluster = image.hostClusterOf(9);
    image.setRefcount(cluster, image.refcount(cluster) - 1);
  }),
  corrupt('compressed/crossing payload, clusters of 512', 2, { clusterSize: 512 }, (image) => {
    image.edit(image.l2EntryAt(3), (entry) => entry | (1n << sectorBits(image)));
  }),
  corrupt('compressed/in an image with refcounts of 1 bit', 2, { refcountBits: 1 }, l2(7, entryOf(2))),
  corrupt('compressed/overflow of refcounts of 2 bits', 2, { refcountBits: 2 }, (image) => {
    for (const guest of [7, 11, 12, 13]) image.setU64(image.l2EntryAt(guest), image.u64(image.l2EntryAt(2)));
  }),
];

const EXTENDED: Base = { extendedL2: true };
const ALL = 0xffff_ffffn;

/** Overwrites the subclusters of a guest cluster: zeros in the high half, data in the low one. */
const subclusters = (guestCluster: number, zeros: bigint, data: bigint): Change => {
  return (image) => image.setU64(image.l2EntryAt(guestCluster) + 8, (zeros << 32n) | data);
};

const EXTENDED_L2: readonly CorruptImage[] = [
  corrupt('extended L2/sound', 0, EXTENDED, () => {}),
  corrupt('extended L2/subclusters both data and zeros', 2, EXTENDED, subclusters(0, 1n, ALL)),
  corrupt('extended L2/data without a cluster', 2, EXTENDED, subclusters(7, 0n, 6n)),
  corrupt('extended L2/zeros without a cluster', 0, EXTENDED, subclusters(7, ALL, 0n)),
  corrupt('extended L2/compressed with subclusters', 2, EXTENDED, subclusters(2, 0n, 1n)),
  corrupt(
    'extended L2/bit 0 is reserved',
    0,
    EXTENDED,
    l2(0, (entry) => entry | ZERO_FLAG),
  ),
  corrupt(
    'extended L2/data cluster unaligned',
    2,
    EXTENDED,
    l2(0, (entry) => entry + 512n),
  ),
  corrupt(
    'extended L2/zero cluster unaligned',
    2,
    EXTENDED,
    l2(5, (entry) => entry + 512n),
  ),
  corrupt('extended L2/partly zero cluster without data unaligned', 2, EXTENDED, (image) => {
    image.edit(image.l2EntryAt(5), (entry) => entry + 512n);
    image.setU64(image.l2EntryAt(5) + 8, 0xffffn << 32n);
  }),
  corrupt(
    'extended L2/copied flag missing',
    2,
    EXTENDED,
    l2(0, (entry) => entry & ~COPIED),
  ),
];

const DATA_FILES: Base = { with: 'data file' };

const DATA_FILE: readonly CorruptImage[] = [
  corrupt('data file/sound', 0, DATA_FILES, () => {}),
  corrupt(
    'data file/copied flag missing',
    2,
    DATA_FILES,
    l2(1, (entry) => entry & ~COPIED),
  ),
  corrupt(
    'data file/offset unaligned',
    2,
    DATA_FILES,
    l2(1, (entry) => entry + 512n),
  ),
  corrupt(
    'data file/zero cluster unaligned',
    2,
    DATA_FILES,
    l2(5, (entry) => entry + 512n),
  ),
  corrupt(
    'data file/offset of another guest cluster',
    0,
    DATA_FILES,
    l2(1, (entry) => entry + 0x10000n),
  ),
  corrupt(
    'data file/compressed cluster',
    2,
    DATA_FILES,
    l2(7, () => COMPRESSED | 0x50000n),
  ),
  corrupt('data file/leaked cluster', 3, DATA_FILES, (image) => {
    image.setRefcount(image.append() / image.clusterSize, 1);
  }),
];

export const CORRUPT_L2_ENTRIES: readonly CorruptImage[] = [
  ...L2_ENTRIES,
  ...COMPRESSED_CLUSTERS,
  ...EXTENDED_L2,
  ...DATA_FILE,
];
