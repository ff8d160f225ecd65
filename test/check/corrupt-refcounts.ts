/** Images with wrong refcounts, refcount blocks or refcount tables. Part of corrupt-images.ts. */
import type { Base } from './corrupt-bases.js';
import { type CorruptImage, corrupt } from './corrupt-image.js';
import { HEADER, type ImageBytes } from './corrupt-image-bytes.js';

const PLAIN: Base = {};
const WIDTHS = [1, 2, 4, 8, 16, 32, 64];
const CLUSTER_SIZES = [512, 4096, 2 * 1024 * 1024];

const l2Table = (image: ImageBytes) => image.l2TableOffset(0) / image.clusterSize;
const refcountTable = (image: ImageBytes) => image.offsetIn(HEADER.refcountTableOffset);

/** Marks new clusters at the end as used; the refcount block in use must have room for them. */
function leak(image: ImageBytes, count = 1): void {
  const first = image.append(count, 0xaa) / image.clusterSize;
  for (let index = 0; index < count; index += 1) image.setRefcount(first + index, 1);
}

/** Too high, too low, zero and leaked in one image, for every width and cluster size. */
function mixed(image: ImageBytes): void {
  const most = Math.min(2 ** image.refcountBits - 1, 9);
  image.setRefcount(image.hostClusterOf(2), most);
  leak(image, 3);
}

const OF_EVERY_WIDTH: readonly CorruptImage[] = WIDTHS.flatMap((refcountBits) => [
  corrupt(`refcounts/${refcountBits} bits: too high and leaked`, 3, { refcountBits }, mixed),
  corrupt(`refcounts/${refcountBits} bits: zero for a used cluster`, 2, { refcountBits }, (image) => {
    mixed(image);
    image.setRefcount(image.hostClusterOf(1), 0);
  }),
  corrupt(`refcounts/${refcountBits} bits: sound`, 0, { refcountBits }, () => {}),
]);

const OF_EVERY_CLUSTER_SIZE: readonly CorruptImage[] = CLUSTER_SIZES.flatMap((clusterSize) => [
  corrupt(`refcounts/clusters of ${clusterSize}: too high and leaked`, 3, { clusterSize }, mixed),
  corrupt(`refcounts/clusters of ${clusterSize}: zero for a used cluster`, 2, { clusterSize }, (image) => {
    mixed(image);
    image.setRefcount(image.hostClusterOf(1), 0);
  }),
  corrupt(`refcounts/clusters of ${clusterSize}: sound`, 0, { clusterSize }, () => {}),
]);

const MANY_BLOCKS: Base = { clusterSize: 512, refcountBits: 64, with: 'many refcount blocks' };

export const CORRUPT_REFCOUNTS: readonly CorruptImage[] = [
  corrupt('refcounts/sound', 0, PLAIN, () => {}),
  corrupt('refcounts/sound, version 2', 0, { version: 2 }, () => {}),
  corrupt('refcounts/too high', 2, PLAIN, (image) => image.setRefcount(image.hostClusterOf(1), 2)),
  corrupt('refcounts/too high for an L2 table', 2, PLAIN, (image) => image.setRefcount(l2Table(image), 2)),
  corrupt('refcounts/too high for the header', 3, PLAIN, (image) => image.setRefcount(0, 2)),
  corrupt('refcounts/highest for a shared cluster', 3, PLAIN, (image) =>
    image.setRefcount(image.hostClusterOf(2), 65535),
  ),
  corrupt('refcounts/too low for a cluster of payloads', 2, PLAIN, (image) =>
    image.setRefcount(image.hostClusterOf(2), 1),
  ),
  corrupt('refcounts/too low and too high, version 2', 2, { version: 2 }, (image) => {
    image.setRefcount(image.hostClusterOf(2), 1);
    image.setRefcount(image.hostClusterOf(0), 7);
    leak(image);
  }),
  corrupt('refcounts/zero for a used cluster', 2, PLAIN, (image) =>
    image.setRefcount(image.hostClusterOf(0), 0),
  ),
  corrupt('refcounts/zero for the header', 2, PLAIN, (image) => image.setRefcount(0, 0)),
  corrupt('refcounts/zero for the L1 table', 2, PLAIN, (image) =>
    image.setRefcount(image.offsetIn(HEADER.l1Offset) / image.clusterSize, 0),
  ),
  corrupt('refcounts/zero for an L2 table', 2, PLAIN, (image) => image.setRefcount(l2Table(image), 0)),
  corrupt('refcounts/zero for the refcount table', 2, PLAIN, (image) =>
    image.setRefcount(refcountTable(image) / image.clusterSize, 0),
  ),
  corrupt('refcounts/zero for a refcount block', 2, PLAIN, (image) =>
    image.setRefcount(image.refcountBlockOffset(0) / image.clusterSize, 0),
  ),
  corrupt('refcounts/zero for a cluster of payloads', 2, PLAIN, (image) =>
    image.setRefcount(image.hostClusterOf(2), 0),
  ),
  corrupt('refcounts/leaked cluster', 3, PLAIN, (image) => leak(image)),
  corrupt('refcounts/leaked clusters, highest count', 3, PLAIN, (image) => {
    leak(image, 5);
    image.setRefcount(image.clusters - 3, 65535);
  }),
  corrupt('refcounts/leaked past the end of the file', 0, PLAIN, (image) =>
    image.setRefcount(image.clusters + 3, 1),
  ),
  corrupt('refcounts/leaked refcount block', 3, PLAIN, (image) => {
    const block = image.append();
    image.setRefcount(block / image.clusterSize, 1);
    image.setU64(image.refcountTableEntryAt(1), 0n);
  }),
  corrupt('refcounts/unused refcount block', 0, PLAIN, (image) => {
    const block = image.append();
    image.setRefcount(block / image.clusterSize, 1);
    image.setU64(image.refcountTableEntryAt(1), BigInt(block));
  }),
  corrupt('refcounts/unused refcount block without a reference', 2, PLAIN, (image) =>
    image.setU64(image.refcountTableEntryAt(1), BigInt(image.append())),
  ),
  corrupt('refcounts/corrupt and leaked', 2, PLAIN, (image) => {
    leak(image, 4);
    image.setRefcount(image.hostClusterOf(2), 1);
  }),
  corrupt('refcounts/refcount block of zeros', 2, PLAIN, (image) => {
    const block = image.refcountBlockOffset(0);
    image.bytes.fill(0, block, block + image.clusterSize);
  }),
  corrupt('refcounts/refcount block of ones', 2, PLAIN, (image) => {
    const block = image.refcountBlockOffset(0);
    image.bytes.fill(0xff, block, block + image.clusterSize);
  }),
  corrupt('refcounts/refcount table of zeros', 2, PLAIN, (image) =>
    image.bytes.fill(0, refcountTable(image), refcountTable(image) + image.clusterSize),
  ),
  corrupt('refcounts/table entry unaligned', 1, PLAIN, (image) =>
    image.edit(image.refcountTableEntryAt(0), (entry) => entry + 512n),
  ),
  corrupt('refcounts/table entry with reserved bits', 2, PLAIN, (image) =>
    image.edit(image.refcountTableEntryAt(0), (entry) => entry | 1n),
  ),
  corrupt('refcounts/further table entry with reserved bits', 2, PLAIN, (image) =>
    image.setU64(image.refcountTableEntryAt(3), 0x1ffn),
  ),
  corrupt('refcounts/table entry past the end of the file', 2, PLAIN, (image) =>
    image.setU64(image.refcountTableEntryAt(0), BigInt((image.clusters + 4) * image.clusterSize)),
  ),
  corrupt('refcounts/further table entry past the end of the file', 2, PLAIN, (image) =>
    image.setU64(image.refcountTableEntryAt(1), BigInt((image.clusters + 4) * image.clusterSize)),
  ),
  corrupt('refcounts/further table entry far past the end of the file', 2, PLAIN, (image) =>
    image.setU64(image.refcountTableEntryAt(1), 1n << 62n),
  ),
  corrupt('refcounts/two table entries for one block', 2, PLAIN, (image) =>
    image.setU64(image.refcountTableEntryAt(1), image.u64(image.refcountTableEntryAt(0))),
  ),
  corrupt('refcounts/table entry names the header', 2, PLAIN, (image) =>
    image.setU64(image.refcountTableEntryAt(1), BigInt(refcountTable(image))),
  ),
  corrupt('refcounts/table entry names the L1 table', 2, PLAIN, (image) =>
    image.setU64(image.refcountTableEntryAt(1), BigInt(image.offsetIn(HEADER.l1Offset))),
  ),
  corrupt('refcounts/table entry names an L2 table', 2, PLAIN, (image) =>
    image.setU64(image.refcountTableEntryAt(0), BigInt(image.l2TableOffset(0))),
  ),
  corrupt('refcounts/table entry names a data cluster', 2, PLAIN, (image) =>
    image.setU64(image.refcountTableEntryAt(0), BigInt(image.hostClusterOf(0) * image.clusterSize)),
  ),
  corrupt('refcounts/many blocks: sound', 0, MANY_BLOCKS, () => {}),
  corrupt('refcounts/many blocks: wrong in several', 2, MANY_BLOCKS, (image) => {
    for (let cluster = 4; cluster < image.clusters; cluster += 13) {
      if (image.refcount(cluster) > 0) image.setRefcount(cluster, cluster % 3 === 0 ? 0 : 9);
    }
  }),
  corrupt('refcounts/many blocks: too high in several', 2, MANY_BLOCKS, (image) => {
    for (let cluster = 4; cluster < image.clusters; cluster += 13) image.setRefcount(cluster, 9);
  }),
  corrupt('refcounts/many blocks: one is zero', 2, MANY_BLOCKS, (image) =>
    image.setU64(image.refcountTableEntryAt(1), 0n),
  ),
  corrupt('refcounts/many blocks: two are swapped', 2, MANY_BLOCKS, (image) => {
    const [first, second] = [image.refcountTableEntryAt(1), image.refcountTableEntryAt(2)];
    const kept = image.u64(first);
    image.setU64(first, image.u64(second));
    image.setU64(second, kept);
  }),
  ...OF_EVERY_WIDTH,
  ...OF_EVERY_CLUSTER_SIZE,
];
