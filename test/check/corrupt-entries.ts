/** Changes of single L1 and L2 entries, for the lists of corrupted images. */
import type { ImageBytes } from './corrupt-image-bytes.js';

export type Change = (image: ImageBytes) => void;

/** Overwrites the L2 entry of a guest cluster. */
export const l2 = (guestCluster: number, change: (entry: bigint, image: ImageBytes) => bigint): Change => {
  return (image) => image.edit(image.l2EntryAt(guestCluster), (entry) => change(entry, image));
};
export const l1 = (index: number, change: (entry: bigint, image: ImageBytes) => bigint): Change => {
  return (image) => image.edit(image.l1EntryAt(index), (entry) => change(entry, image));
};
export const pastTheEnd = (image: ImageBytes, clusters = 4) =>
  BigInt((image.clusters + clusters) * image.clusterSize);
export const entryOf = (guestCluster: number) => (_: bigint, image: ImageBytes) =>
  image.u64(image.l2EntryAt(guestCluster));
/** The lowest bit of the field of additional sectors in a compressed cluster descriptor. */
export const sectorBits = (image: ImageBytes) => BigInt(62 - (image.u32(20) - 8));
