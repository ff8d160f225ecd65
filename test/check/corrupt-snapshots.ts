/** Images with invalid snapshot tables, or invalid tables of snapshots. Part of corrupt-images.ts. */
import type { Base } from './corrupt-bases.js';
import { type CorruptImage, corrupt } from './corrupt-image.js';
import { COPIED, HEADER, type ImageBytes } from './corrupt-image-bytes.js';

const SNAPSHOTS: Base = { with: 'snapshots' };

/** Fields of a snapshot table entry. */
const L1_SIZE = 8;
const ID_SIZE = 12;
const NAME_SIZE = 14;
const EXTRA_SIZE = 36;

const snapshotL1 = (image: ImageBytes, index: number) => Number(image.u64(image.snapshotAt(index)));

/** Cuts the first snapshot's extra data to `length` bytes, as early programs wrote them. Entries stay in place. */
function shortenExtraData(image: ImageBytes, length: number): void {
  const [first, second] = [image.snapshotAt(0), image.snapshotAt(1)];
  const [names, kept] = [
    image.bytes.subarray(first + 40 + image.u32(first + EXTRA_SIZE), second),
    image.bytes.subarray(second, second + 80),
  ];
  const entry = Buffer.concat([image.bytes.subarray(first, first + 40 + length), names]);
  const padding = Buffer.alloc(-entry.length & 7);
  const table = Buffer.concat([entry, padding, kept]);
  image.bytes.fill(0, first, second + 80);
  table.copy(image.bytes, first);
  image.setU32(first + EXTRA_SIZE, length);
}

/** Replaces the table by one of `count` snapshots, with empty names and names of the greatest length. */
function hugeTable(image: ImageBytes, count: number): void {
  const fixedBytes = 40 + image.u32(image.snapshotAt(0) + EXTRA_SIZE);
  const entryBytes = fixedBytes + 2 * 65528;
  const table = image.append(Math.ceil((count * entryBytes) / image.clusterSize));
  for (let at = table; at < table + count * entryBytes; at += entryBytes) {
    image.bytes.copy(image.bytes, at, image.snapshotAt(0), image.snapshotAt(0) + fixedBytes);
    image.setU16(at + ID_SIZE, 65528);
    image.setU16(at + NAME_SIZE, 65528);
  }
  image.setU64(HEADER.snapshotsOffset, BigInt(table));
  image.setU32(HEADER.snapshotCount, count);
}

const SNAPSHOT_TABLES: readonly CorruptImage[] = [
  corrupt('snapshots/sound', 0, SNAPSHOTS, () => {}),
  corrupt('snapshots/sound, clusters of 512', 0, { ...SNAPSHOTS, clusterSize: 512 }, () => {}),
  corrupt('snapshots/sound, version 2', 0, { ...SNAPSHOTS, version: 2 }, () => {}),
  corrupt('snapshots/too many', 1, SNAPSHOTS, (image) => image.setU32(HEADER.snapshotCount, 65537)),
  corrupt('snapshots/more than there are', 2, SNAPSHOTS, (image) => image.setU32(HEADER.snapshotCount, 4)),
  corrupt('snapshots/one lost', 3, SNAPSHOTS, (image) => image.setU32(HEADER.snapshotCount, 1)),
  corrupt('snapshots/all lost', 3, SNAPSHOTS, (image) => image.setU32(HEADER.snapshotCount, 0)),
  corrupt('snapshots/table unaligned', 1, SNAPSHOTS, (image) =>
    image.edit(HEADER.snapshotsOffset, (at) => at + 8n),
  ),
  corrupt('snapshots/table too large', 1, SNAPSHOTS, (image) => hugeTable(image, 520)),
  corrupt('snapshots/table past the end', 2, SNAPSHOTS, (image) =>
    image.setU64(HEADER.snapshotsOffset, BigInt((image.clusters + 5) * image.clusterSize)),
  ),
  corrupt('snapshots/extra data too large', 1, SNAPSHOTS, (image) =>
    image.setU32(image.snapshotAt(0) + EXTRA_SIZE, 1025),
  ),
  corrupt('snapshots/extra data far too large', 1, SNAPSHOTS, (image) =>
    image.setU32(image.snapshotAt(0) + EXTRA_SIZE, 0x7fff_ffff),
  ),
  corrupt('snapshots/extra data without the disk size', 2, SNAPSHOTS, (image) => shortenExtraData(image, 8)),
  corrupt('snapshots/no extra data', 2, SNAPSHOTS, (image) => shortenExtraData(image, 0)),
  corrupt('snapshots/no extra data in version 2', 0, { ...SNAPSHOTS, version: 2 }, (image) =>
    shortenExtraData(image, 0),
  ),
  corrupt('snapshots/names past the end of the file', 2, SNAPSHOTS, (image) => {
    const at = image.append();
    image.bytes.copy(image.bytes, at + image.clusterSize - 64, image.snapshotAt(0), image.snapshotAt(0) + 64);
    image.setU64(HEADER.snapshotsOffset, BigInt(at));
    image.bytes.copy(image.bytes, at, at + image.clusterSize - 64, at + image.clusterSize);
    image.setU16(at + NAME_SIZE, 65535);
    image.setU16(at + ID_SIZE, 65535);
  }),
  corrupt('snapshots/refcount of the table zero', 2, SNAPSHOTS, (image) =>
    image.setRefcount(Number(image.u64(HEADER.snapshotsOffset)) / image.clusterSize, 0),
  ),
  corrupt('snapshots/refcount of shared clusters too low', 2, SNAPSHOTS, (image) => {
    image.setRefcount(image.hostClusterOf(1), 1);
    image.setRefcount(image.hostClusterOf(2), 1);
  }),
  corrupt('snapshots/refcount of shared clusters too high', 3, SNAPSHOTS, (image) =>
    image.setRefcount(image.hostClusterOf(1), 9),
  ),
  corrupt('snapshots/refcount of a shared L2 table too low', 2, SNAPSHOTS, (image) =>
    image.setRefcount(image.l2TableOffset(1) / image.clusterSize, 2),
  ),
  corrupt('snapshots/leaked and too low, clusters of 512', 2, { ...SNAPSHOTS, clusterSize: 512 }, (image) => {
    image.setRefcount(image.hostClusterOf(1), 1);
    image.setRefcount(image.append() / image.clusterSize, 1);
  }),
];

const SNAPSHOT_L1: readonly CorruptImage[] = [
  corrupt('snapshots/L1 table unaligned', 2, SNAPSHOTS, (image) =>
    image.edit(image.snapshotAt(0), (at) => at + 8n),
  ),
  corrupt('snapshots/L1 table past the end', 2, SNAPSHOTS, (image) =>
    image.setU64(image.snapshotAt(0), BigInt((image.clusters + 5) * image.clusterSize)),
  ),
  corrupt('snapshots/L1 table too large', 2, SNAPSHOTS, (image) =>
    image.setU32(image.snapshotAt(0) + L1_SIZE, 0x1000_0000),
  ),
  corrupt('snapshots/L1 table with no entry', 3, SNAPSHOTS, (image) =>
    image.setU32(image.snapshotAt(0) + L1_SIZE, 0),
  ),
  corrupt('snapshots/L1 entry unaligned', 2, SNAPSHOTS, (image) =>
    image.edit(snapshotL1(image, 0), (entry) => entry + 512n),
  ),
  corrupt('snapshots/L1 entry past the end', 2, SNAPSHOTS, (image) =>
    image.setU64(snapshotL1(image, 0) + 16, BigInt((image.clusters + 5) * image.clusterSize)),
  ),
  corrupt('snapshots/L1 entry with reserved bits', 2, SNAPSHOTS, (image) =>
    image.edit(snapshotL1(image, 0), (entry) => entry | (1n << 60n)),
  ),
  corrupt('snapshots/L1 entry copied', 0, SNAPSHOTS, (image) =>
    image.edit(snapshotL1(image, 0), (entry) => entry | COPIED),
  ),
  corrupt('snapshots/L1 entry lost', 3, SNAPSHOTS, (image) => image.setU64(snapshotL1(image, 0), 0n)),
  corrupt('snapshots/zero cluster of a snapshot unaligned', 2, SNAPSHOTS, (image) => {
    const table = image.offsetIn(snapshotL1(image, 0));
    image.edit(table + 5 * 8, (entry) => entry + 512n);
  }),
  corrupt('snapshots/compressed cluster of a snapshot copied', 2, SNAPSHOTS, (image) => {
    const table = image.offsetIn(snapshotL1(image, 0));
    image.edit(table + 2 * 8, (entry) => entry | COPIED);
  }),
];

export const CORRUPT_SNAPSHOTS: readonly CorruptImage[] = [...SNAPSHOT_TABLES, ...SNAPSHOT_L1];
