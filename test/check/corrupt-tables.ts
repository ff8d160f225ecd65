/** Images whose L1 or L2 entries are wrong: offsets, flags, overlaps. Part of corrupt-images.ts. */
import type { Base } from './corrupt-bases.js';
import { type CorruptImage, corrupt } from './corrupt-image.js';
import { COMPRESSED, COPIED, HEADER, type ImageBytes, ZERO_FLAG } from './corrupt-image-bytes.js';

const PLAIN: Base = {};

type Change = (image: ImageBytes) => void;

/** Overwrites the L2 entry of a guest cluster. */
const l2 = (guestCluster: number, change: (entry: bigint, image: ImageBytes) => bigint): Change => {
  return (image) => image.edit(image.l2EntryAt(guestCluster), (entry) => change(entry, image));
};
const l1 = (index: number, change: (entry: bigint, image: ImageBytes) => bigint): Change => {
  return (image) => image.edit(image.l1EntryAt(index), (entry) => change(entry, image));
};
const pastTheEnd = (image: ImageBytes, clusters = 4) =>
  BigInt((image.clusters + clusters) * image.clusterSize);
const entryOf = (guestCluster: number) => (_: bigint, image: ImageBytes) =>
  image.u64(image.l2EntryAt(guestCluster));
/** How far the field of the additional sectors is up in a compressed cluster descriptor. */
const sectorBits = (image: ImageBytes) => BigInt(62 - (image.u32(20) - 8));

const COPIED_FLAGS: readonly CorruptImage[] = [
  corrupt(
    'copied/missing for a data cluster',
    2,
    PLAIN,
    l2(0, (entry) => entry & ~COPIED),
  ),
  corrupt(
    'copied/missing for a zero cluster',
    2,
    PLAIN,
    l2(5, (entry) => entry & ~COPIED),
  ),
  corrupt(
    'copied/missing for an L2 table',
    2,
    PLAIN,
    l1(0, (entry) => entry & ~COPIED),
  ),
  corrupt('copied/missing everywhere', 2, PLAIN, (image) => {
    for (const index of [0, 1]) image.edit(image.l1EntryAt(index), (entry) => entry & ~COPIED);
    for (const guest of [0, 1, 5, 6, image.l2Entries]) {
      image.edit(image.l2EntryAt(guest), (entry) => entry & ~COPIED);
    }
  }),
  corrupt(
    'copied/missing, version 2',
    2,
    { version: 2 },
    l2(0, (entry) => entry & ~COPIED),
  ),
  corrupt(
    'copied/missing, clusters of 512',
    2,
    { clusterSize: 512 },
    l2(0, (entry) => entry & ~COPIED),
  ),
  corrupt(
    'copied/set for a compressed cluster',
    2,
    PLAIN,
    l2(2, (entry) => entry | COPIED),
  ),
  corrupt('copied/set for two compressed clusters', 2, PLAIN, (image) => {
    for (const guest of [3, 9]) image.edit(image.l2EntryAt(guest), (entry) => entry | COPIED);
  }),
  corrupt(
    'copied/set for an unallocated cluster',
    0,
    PLAIN,
    l2(7, () => COPIED),
  ),
  corrupt(
    'copied/set for a zero cluster without a host cluster',
    0,
    PLAIN,
    l2(4, (entry) => entry | COPIED),
  ),
  corrupt(
    'copied/set with refcount 2',
    2,
    { with: 'snapshots' },
    l2(1, (entry) => entry | COPIED),
  ),
  corrupt('copied/missing and too high', 3, PLAIN, (image) => {
    image.setRefcount(image.hostClusterOf(0), 2);
    image.edit(image.l2EntryAt(0), (entry) => entry & ~COPIED);
  }),
  corrupt('copied/missing and zero', 2, PLAIN, (image) => {
    image.setRefcount(image.hostClusterOf(0), 0);
    image.edit(image.l2EntryAt(0), (entry) => entry & ~COPIED);
  }),
  corrupt('copied/wrong only because the refcount is', 2, PLAIN, (image) => {
    image.setRefcount(image.hostClusterOf(0), 2);
    image.setRefcount(image.hostClusterOf(1), 3);
  }),
  corrupt('copied/missing in the second L2 table', 2, PLAIN, (image) =>
    image.edit(image.l2EntryAt(image.l2Entries), (entry) => entry & ~COPIED),
  ),
];

const OVERLAPS: readonly CorruptImage[] = [
  corrupt('overlaps/two L2 entries for one cluster', 2, PLAIN, l2(1, entryOf(0))),
  corrupt('overlaps/two L2 entries for one cluster, sharing counted', 0, PLAIN, (image) => {
    image.setRefcount(image.hostClusterOf(1), 0);
    image.setRefcount(image.hostClusterOf(0), 2);
    for (const guest of [0, 1])
      image.setU64(image.l2EntryAt(guest), BigInt(image.hostClusterOf(0) * image.clusterSize));
  }),
  corrupt(
    'overlaps/L2 entry for the header',
    0,
    PLAIN,
    l2(7, () => COPIED),
  ),
  corrupt(
    'overlaps/L2 entry for the L1 table',
    2,
    PLAIN,
    l2(7, (_, image) => image.u64(HEADER.l1Offset) | COPIED),
  ),
  corrupt(
    'overlaps/L2 entry for its own L2 table',
    2,
    PLAIN,
    l2(7, (_, image) => BigInt(image.l2TableOffset(0)) | COPIED),
  ),
  corrupt(
    'overlaps/L2 entry for the other L2 table',
    2,
    PLAIN,
    l2(7, (_, image) => BigInt(image.l2TableOffset(1)) | COPIED),
  ),
  corrupt(
    'overlaps/L2 entry for a refcount block',
    2,
    PLAIN,
    l2(7, (_, image) => BigInt(image.refcountBlockOffset(0)) | COPIED),
  ),
  corrupt(
    'overlaps/L2 entry for the refcount table',
    2,
    PLAIN,
    l2(7, (_, image) => image.u64(HEADER.refcountTableOffset) | COPIED),
  ),
  corrupt(
    'overlaps/L2 entry for a cluster of payloads',
    2,
    PLAIN,
    l2(7, (_, image) => BigInt(image.hostClusterOf(2) * image.clusterSize) | COPIED),
  ),
  corrupt(
    'overlaps/two L1 entries for one L2 table',
    2,
    PLAIN,
    l1(1, (_, image) => image.u64(image.l1EntryAt(0))),
  ),
  corrupt(
    'overlaps/L1 entry for the L1 table',
    2,
    PLAIN,
    l1(2, (_, image) => image.u64(HEADER.l1Offset) | COPIED),
  ),
  corrupt(
    'overlaps/L1 entry for a refcount block',
    2,
    PLAIN,
    l1(2, (_, image) => BigInt(image.refcountBlockOffset(0)) | COPIED),
  ),
  corrupt('overlaps/L1 entry for a data cluster of zeros', 2, PLAIN, (image) => {
    const cluster = image.hostClusterOf(0) * image.clusterSize;
    image.bytes.fill(0, cluster, cluster + image.clusterSize);
    image.setU64(image.l1EntryAt(2), BigInt(cluster) | COPIED);
  }),
  corrupt('overlaps/the L1 table in a data cluster', 2, PLAIN, (image) => {
    const cluster = image.hostClusterOf(0) * image.clusterSize;
    const from = image.offsetIn(HEADER.l1Offset);
    image.bytes.copy(image.bytes, cluster, from, from + image.clusterSize);
    image.setU64(HEADER.l1Offset, BigInt(cluster));
  }),
  corrupt('overlaps/the refcount table in a data cluster', 2, PLAIN, (image) => {
    const cluster = image.hostClusterOf(0) * image.clusterSize;
    const from = image.offsetIn(HEADER.refcountTableOffset);
    image.bytes.copy(image.bytes, cluster, from, from + image.clusterSize);
    image.setU64(HEADER.refcountTableOffset, BigInt(cluster));
  }),
];

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
    // The disk ends in the middle of what a third L2 table describes.
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

const L1_ENTRIES: readonly CorruptImage[] = [
  corrupt(
    'L1/unaligned',
    2,
    PLAIN,
    l1(0, (entry) => entry + 512n),
  ),
  corrupt(
    'L1/unaligned in a free entry',
    2,
    PLAIN,
    l1(2, () => 512n),
  ),
  corrupt(
    'L1/past the end',
    2,
    PLAIN,
    l1(2, (_, image) => pastTheEnd(image) | COPIED),
  ),
  corrupt(
    'L1/far past the end',
    2,
    PLAIN,
    l1(2, () => (1n << 55n) | COPIED),
  ),
  corrupt(
    'L1/reserved bits',
    2,
    PLAIN,
    l1(0, (entry) => entry | (1n << 60n)),
  ),
  corrupt(
    'L1/low reserved bits',
    2,
    PLAIN,
    l1(0, (entry) => entry | 1n),
  ),
  corrupt(
    'L1/reserved bits without a table',
    2,
    PLAIN,
    l1(2, () => 1n << 61n),
  ),
  corrupt(
    'L1/copied flag without a table',
    2,
    PLAIN,
    l1(2, () => COPIED),
  ),
  corrupt(
    'L1/entry lost',
    3,
    PLAIN,
    l1(0, () => 0n),
  ),
  corrupt('L1/size of one entry too few', 1, PLAIN, (image) => image.setU32(HEADER.l1Size, 2)),
  corrupt('L1/size of further entries', 0, PLAIN, (image) => image.setU32(HEADER.l1Size, 50)),
  corrupt('L1/size past the end of the file', 2, { clusterSize: 4096 }, (image) =>
    image.setU32(HEADER.l1Size, 10_000),
  ),
  corrupt('L1/size of more than QEMU takes', 1, PLAIN, (image) => image.setU32(HEADER.l1Size, 8_000_000)),
  corrupt('L1/table unaligned', 1, PLAIN, (image) => image.edit(HEADER.l1Offset, (offset) => offset + 8n)),
  corrupt('L1/table past the end', 2, PLAIN, (image) => image.setU64(HEADER.l1Offset, pastTheEnd(image))),
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

export const CORRUPT_TABLES: readonly CorruptImage[] = [
  ...COPIED_FLAGS,
  ...OVERLAPS,
  ...L2_ENTRIES,
  ...COMPRESSED_CLUSTERS,
  ...L1_ENTRIES,
  ...EXTENDED_L2,
  ...DATA_FILE,
];
