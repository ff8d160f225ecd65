/**
 * The guest's view of a small image, and the entries that would let a guest do harm: by a walk through the tables
 * that shares no code with the program. Used to judge the result of a repair.
 */
import { createHash } from 'node:crypto';
import { COMPRESSED, COPIED, HEADER, ImageBytes, ZERO_FLAG } from './corrupt-image-bytes.js';

/** Bits 9 to 55 of an entry: an offset. */
const OFFSET_BITS = 0x00ff_ffff_ffff_fe00n;

/** An entry of an L2 table that is not empty. */
interface Entry {
  /** Of the L1 table: 0 for the image's present state, from 1 on for its snapshots. */
  readonly state: number;
  readonly guestCluster: number;
  readonly raw: bigint;
  /** The second half of an extended entry, otherwise 0. */
  readonly subclusters: bigint;
}

interface Table {
  readonly state: number;
  readonly index: number;
  readonly raw: bigint;
  readonly offset: number;
}

/** The L1 entries of all states with an offset inside the file. */
function tables(image: ImageBytes): Table[] {
  const found: Table[] = [];
  const add = (state: number, l1Offset: number, l1Size: number) => {
    for (let index = 0; index < Math.min(l1Size, 64); index += 1) {
      const at = l1Offset + index * 8;
      if (at + 8 > image.bytes.length) return;
      const offset = image.offsetIn(at);
      if (offset > 0 && offset < image.bytes.length) found.push({ state, index, raw: image.u64(at), offset });
    }
  };
  add(0, image.offsetIn(HEADER.l1Offset), image.u32(HEADER.l1Size));
  for (let index = 0; index < Math.min(image.u32(HEADER.snapshotCount), 3); index += 1) {
    const at = image.snapshotAt(index);
    if (at + 16 > image.bytes.length) break;
    add(index + 1, Number(image.u64(at)), image.u32(at + 8));
  }
  return found;
}

function entries(image: ImageBytes): Entry[] {
  const { l2Entries, l2EntryBytes } = image;
  return tables(image).flatMap(({ state, index, offset }) => {
    const found: Entry[] = [];
    for (let slot = 0; slot < l2Entries; slot += 1) {
      const at = offset + slot * l2EntryBytes;
      if (at + l2EntryBytes > image.bytes.length) break;
      const subclusters = l2EntryBytes === 16 ? image.u64(at + 8) : 0n;
      const raw = image.u64(at);
      if (raw !== 0n || subclusters !== 0n) {
        found.push({ state, guestCluster: index * l2Entries + slot, raw, subclusters });
      }
    }
    return found;
  });
}

/**
 * A line for each guest cluster of each state that has an entry, with a digest of its stored bytes. Two images
 * with the same lines hold the same disks.
 */
export function guestView(bytes: Buffer): string[] {
  const image = new ImageBytes(bytes);
  const extended = image.l2EntryBytes === 16;
  const lines = entries(image).map(({ state, guestCluster, raw, subclusters }) => {
    const where = `${state}/${guestCluster}`;
    const flags = raw & ~COPIED;
    if ((raw & COMPRESSED) !== 0n) return `${where} compressed ${flags.toString(16)}`;
    // A zero cluster reads as zeros, with any offset.
    if (!extended && (raw & ZERO_FLAG) !== 0n) return `${where} zero`;
    if (extended && (subclusters & 0xffff_ffffn) === 0n) return `${where} zero ${subclusters.toString(16)}`;
    if (flags === 0n) return undefined;
    const offset = Number(raw & OFFSET_BITS);
    // Only reserved bits: the header holds no guest data.
    if (offset === 0) return `${where} nothing ${subclusters.toString(16)} ${flags.toString(16)}`;
    const data = image.bytes.subarray(offset, offset + image.clusterSize);
    const digest = createHash('sha256').update(data).digest('hex').slice(0, 16);
    return `${where} ${subclusters.toString(16)} ${flags.toString(16)} ${digest}`;
  });
  return lines.filter((line) => line !== undefined).sort();
}

/**
 * Entries of the present state with the copied flag although another reference to the cluster exists: a guest would
 * overwrite a shared cluster.
 */
export function dangerousFlags(bytes: Buffer): number {
  const image = new ImageBytes(bytes);
  const references = new Map<number, number>();
  const add = (offset: number) => {
    const cluster = Math.floor(offset / image.clusterSize);
    references.set(cluster, (references.get(cluster) ?? 0) + 1);
  };
  const isStandard = ({ raw }: Entry) => (raw & COMPRESSED) === 0n && (raw & OFFSET_BITS) !== 0n;
  const offsetOf = (raw: bigint) => Number(raw & OFFSET_BITS);
  const allTables = tables(image);
  const allEntries = entries(image).filter(isStandard);
  for (const { offset } of allTables) add(offset);
  for (const { raw } of allEntries) add(offsetOf(raw));
  const isShared = (offset: number) => (references.get(Math.floor(offset / image.clusterSize)) ?? 0) > 1;
  const wrong = [
    ...allTables.filter(({ state, raw, offset }) => state === 0 && (raw & COPIED) !== 0n && isShared(offset)),
    ...allEntries.filter(({ state, raw }) => state === 0 && (raw & COPIED) !== 0n && isShared(offsetOf(raw))),
  ];
  return wrong.length;
}

/**
 * Whether a table that a repair changes in place (header, refcount blocks, L1 and L2 tables) overlaps with another
 * table or guest data. A change then destroys one of the two.
 */
export function isEntangled(bytes: Buffer): boolean {
  const image = new ImageBytes(bytes);
  const { clusterSize } = image;
  const changed = new Set<number>();
  let isShared = false;
  const clustersOf = (offset: number, length: number) => {
    const first = Math.floor(offset / clusterSize);
    const end = Math.min(Math.ceil((offset + length) / clusterSize), image.clusters);
    return Array.from({ length: Math.max(0, end - first) }, (_, index) => first + index);
  };
  const change = (offset: number, length: number) => {
    for (const cluster of clustersOf(offset, length)) {
      isShared ||= changed.has(cluster);
      changed.add(cluster);
    }
  };
  const use = (offset: number, length: number) => {
    isShared ||= clustersOf(offset, length).some((cluster) => changed.has(cluster));
  };
  const words = (offset: number, count: number) => {
    const inFile = Math.max(0, Math.min(count, Math.floor((bytes.length - offset) / 8)));
    return Array.from({ length: inFile }, (_, index) => image.u64(offset + index * 8));
  };

  change(0, clusterSize);
  const refcountTable = Number(image.u64(HEADER.refcountTableOffset));
  const refcountTableBytes = image.u32(HEADER.refcountTableClusters) * clusterSize;
  for (const entry of new Set(words(refcountTable, refcountTableBytes / 8))) {
    // Entries without a table are skipped.
    if (entry > 0n && entry % BigInt(clusterSize) === 0n) change(Number(entry), clusterSize);
  }
  const l1Tables = new Map([[Number(image.u64(HEADER.l1Offset)), image.u32(HEADER.l1Size)]]);
  for (let index = 0; index < image.u32(HEADER.snapshotCount); index += 1) {
    const at = image.snapshotAt(index);
    if (at + 16 > bytes.length) break;
    use(at, 1);
    const [offset, entries] = [Number(image.u64(at)), image.u32(at + 8)];
    l1Tables.set(offset, Math.max(entries, l1Tables.get(offset) ?? 0));
  }
  const l2Tables = new Set<number>();
  for (const [offset, entries] of l1Tables) {
    change(offset, entries * 8);
    for (const entry of words(offset, entries)) if (entry !== 0n) l2Tables.add(Number(entry & OFFSET_BITS));
  }
  for (const offset of l2Tables) change(offset, clusterSize);
  use(refcountTable, refcountTableBytes);
  use(Number(image.u64(HEADER.snapshotsOffset)), 1);
  for (const table of l2Tables) {
    const step = image.l2EntryBytes / 8;
    for (const [index, raw] of words(table, clusterSize / 8).entries()) {
      if (index % step !== 0) continue;
      const isCompressed = (raw & COMPRESSED) !== 0n;
      const offsetBits = BigInt(70 - image.u32(20));
      const offset = Number(raw & (isCompressed ? (1n << offsetBits) - 1n : OFFSET_BITS));
      if (offset !== 0) use(offset, isCompressed ? 2 * clusterSize : clusterSize);
    }
  }
  return isShared;
}
