/** Images with invalid L1 entries, wrong copied flags or overlapping tables. Part of corrupt-images.ts. */
import type { Base } from './corrupt-bases.js';
import { entryOf, l1, l2, pastTheEnd } from './corrupt-entries.js';
import { type CorruptImage, corrupt } from './corrupt-image.js';
import { COPIED, HEADER } from './corrupt-image-bytes.js';

const PLAIN: Base = {};

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

export const CORRUPT_TABLES: readonly CorruptImage[] = [...COPIED_FLAGS, ...OVERLAPS, ...L1_ENTRIES];
