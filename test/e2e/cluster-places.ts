/**
 * The offsets of each guest cluster and its table entries in a small image with standard L2 entries, read from its
 * bytes alone: to examine payloads and to damage an image in one place.
 */
import { readFile } from 'node:fs/promises';

const OFFSET_BITS = 0x00ff_ffff_ffff_fe00n;
const COMPRESSED = 1n << 62n;

/** One allocated guest cluster. All offsets are bytes of the file. */
export interface ClusterPlace {
  /** Index of the guest cluster. */
  readonly guest: number;
  readonly compressed: boolean;
  /** Where the cluster or its payload begins, and where what its entry claims ends. */
  readonly from: number;
  readonly to: number;
  readonly l1EntryAt: number;
  readonly l2EntryAt: number;
}

/** @returns the allocated guest clusters, ascending (specification: "L1 table entry", "L2 table entry") */
export async function clusterPlaces(image: string): Promise<ClusterPlace[]> {
  const bytes = await readFile(image);
  const clusterBits = bytes.readUInt32BE(20);
  const clusterSize = 2 ** clusterBits;
  const l1Offset = Number(bytes.readBigUInt64BE(40));
  const offsetBits = BigInt(62 - (clusterBits - 8));
  const places: ClusterPlace[] = [];
  for (let index = 0; index < bytes.readUInt32BE(36); index++) {
    const l1EntryAt = l1Offset + index * 8;
    const l2Offset = Number(bytes.readBigUInt64BE(l1EntryAt) & OFFSET_BITS);
    for (let at = 0; l2Offset > 0 && at < clusterSize / 8; at++) {
      const l2EntryAt = l2Offset + at * 8;
      const entry = l2EntryAt + 8 <= bytes.length ? bytes.readBigUInt64BE(l2EntryAt) : 0n;
      const compressed = (entry & COMPRESSED) !== 0n;
      const from = Number(entry & (compressed ? (1n << offsetBits) - 1n : OFFSET_BITS));
      if (from === 0) continue;
      const sectors = 1 + Number((entry & (COMPRESSED - 1n)) >> offsetBits);
      const to = compressed ? from - (from % 512) + sectors * 512 : from + clusterSize;
      places.push({ guest: (index * clusterSize) / 8 + at, compressed, from, to, l1EntryAt, l2EntryAt });
    }
  }
  return places;
}
