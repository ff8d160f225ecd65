/** Images with an invalid header or length, or marked as dirty or corrupt. Part of corrupt-images.ts. */
import type { Base } from './corrupt-bases.js';
import { type CorruptImage, corrupt } from './corrupt-image.js';
import { HEADER, type ImageBytes } from './corrupt-image-bytes.js';

const PLAIN: Base = {};

/** The dirty bit, the corrupt bit: incompatible features. */
const DIRTY = 1n;
const CORRUPT = 2n;

function leakOne(image: ImageBytes): void {
  image.setRefcount(image.append() / image.clusterSize, 1);
}

export const CORRUPT_WHOLE: readonly CorruptImage[] = [
  corrupt('flags/dirty', 0, PLAIN, (image) => image.edit(HEADER.incompatible, (bits) => bits | DIRTY)),
  corrupt('flags/dirty and refcounts zero', 2, PLAIN, (image) => {
    image.edit(HEADER.incompatible, (bits) => bits | DIRTY);
    image.setU64(HEADER.compatible, 1n);
    for (const guest of [0, 1, 6]) image.setRefcount(image.hostClusterOf(guest), 0);
  }),
  corrupt('flags/dirty and leaked', 3, PLAIN, (image) => {
    image.edit(HEADER.incompatible, (bits) => bits | DIRTY);
    leakOne(image);
  }),
  corrupt('flags/corrupt', 0, PLAIN, (image) => image.edit(HEADER.incompatible, (bits) => bits | CORRUPT)),
  corrupt('flags/corrupt and leaked', 3, PLAIN, (image) => {
    image.edit(HEADER.incompatible, (bits) => bits | CORRUPT);
    leakOne(image);
  }),
  corrupt('flags/corrupt and refcounts too low', 2, PLAIN, (image) => {
    image.edit(HEADER.incompatible, (bits) => bits | CORRUPT | DIRTY);
    image.setRefcount(image.hostClusterOf(2), 1);
  }),
  corrupt('flags/corrupt and beyond repair', 2, PLAIN, (image) => {
    image.edit(HEADER.incompatible, (bits) => bits | CORRUPT);
    image.edit(image.l2EntryAt(0), (entry) => entry + 512n);
  }),
  corrupt('flags/unknown incompatible feature', 1, PLAIN, (image) =>
    image.edit(HEADER.incompatible, (bits) => bits | (1n << 40n)),
  ),
  corrupt('length/cut inside the data', 2, PLAIN, (image) =>
    image.resize(image.bytes.length - 3 * image.clusterSize),
  ),
  corrupt('length/cut inside the last cluster', 0, PLAIN, (image) => image.resize(image.bytes.length - 1024)),
  corrupt('length/cut after the tables', 2, PLAIN, (image) => image.resize(5 * image.clusterSize)),
  corrupt('length/cut inside the header', 1, PLAIN, (image) => image.resize(60)),
  corrupt('length/cut inside the refcount table', 2, PLAIN, (image) => image.resize(image.clusterSize + 100)),
  corrupt('length/garbage behind the image', 0, PLAIN, (image) => image.append(3, 0x5a)),
  corrupt('length/not a multiple of 512', 0, PLAIN, (image) =>
    image.resize(image.clusters * image.clusterSize + 77),
  ),
  corrupt('header/refcount table past the end', 2, PLAIN, (image) =>
    image.setU64(HEADER.refcountTableOffset, BigInt((image.clusters + 3) * image.clusterSize)),
  ),
  corrupt('header/refcount table unaligned', 1, PLAIN, (image) =>
    image.edit(HEADER.refcountTableOffset, (offset) => offset + 8n),
  ),
  corrupt('header/refcount table of no clusters', 2, PLAIN, (image) =>
    image.setU32(HEADER.refcountTableClusters, 0),
  ),
  corrupt('header/refcount table larger than it is', 2, PLAIN, (image) =>
    image.setU32(HEADER.refcountTableClusters, 3),
  ),
  corrupt('header/refcount table too large', 1, PLAIN, (image) =>
    image.setU32(HEADER.refcountTableClusters, 1_000_000),
  ),
  corrupt('header/disk smaller than its tables', 0, PLAIN, (image) =>
    image.setU64(HEADER.virtualSize, 65536n),
  ),
];
