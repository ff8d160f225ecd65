/**
 * The bits of entries of L1, L2 and refcount tables, as 64-bit values and as two 32-bit halves. The check uses the
 * halves: it visits every entry of an image, and a bigint for each would cost more than the rest of its work.
 * Specification: "L1 table entry", "L2 table entry", "Standard Cluster Descriptor", "Refcount table entry".
 */

/** Bit 63: the refcount of the L2 table or the cluster is exactly one. Never set for a compressed cluster. */
export const COPIED = 1n << 63n;
/** Bit 62 of an L2 entry: the cluster is compressed. */
export const COMPRESSED = 1n << 62n;
/** Bit 0 of a standard cluster, without extended L2 entries: it reads as zeros. */
export const READS_AS_ZEROS = 1n;
/** Bits 9 to 55: the offset of an L2 table or of a standard cluster. */
export const OFFSET_MASK = (1n << 56n) - (1n << 9n);

/** Bits 9 to 63 of an entry of a refcount table: the offset of a refcount block. The others are reserved. */
export const REFCOUNT_BLOCK_MASK = (1n << 64n) - (1n << 9n);

export const HIGH_COPIED = 0x80000000;
export const HIGH_COMPRESSED = 0x40000000;
export const HIGH_OFFSET_MASK = 0x00ffffff;
/** Reserved bits of an L1 entry: 56 to 62. */
export const HIGH_L1_RESERVED = 0x7f000000;
/** Reserved bits of a standard cluster. */
export const HIGH_RESERVED = 0x3f000000;
export const LOW_READS_AS_ZEROS = 1;
export const LOW_OFFSET_MASK = 0xfffffe00;
/** Reserved bits of an L1 entry: all below the offset. */
export const LOW_L1_RESERVED = 0x1ff;
/** Reserved bits of a standard cluster: all below the offset but bit 0. */
export const LOW_RESERVED = 0x1fe;

/** @returns the offset in an entry, in bytes; exact, because it has 47 significant bits */
export function offsetOfHalves(high: number, low: number): number {
  return (high & HIGH_OFFSET_MASK) * 2 ** 32 + ((low & LOW_OFFSET_MASK) >>> 0);
}

/** @returns the 64-bit entry of two halves */
export function wholeEntry(high: number, low: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

/** @returns x of the specification: the number of low bits of a compressed cluster descriptor that hold the offset */
export function compressedOffsetBits(clusterBits: number): number {
  return 62 - (clusterBits - 8);
}
