/**
 * What one unit of an L2 table (a cluster, or a subcluster of an extended L2 entry) holds. The decision is
 * QEMU's (qcow2_get_subcluster_type in block/qcow2.h). Specification: "Extended L2 Entries".
 */

/** Subclusters of a cluster with extended L2 entries. */
export const SUBCLUSTERS = 32;
const ZERO_SHIFT = BigInt(SUBCLUSTERS);

/** `invalid`: bits that contradict each other, which no reader may make sense of. */
export type SubclusterKind = 'unallocated' | 'zero' | 'normal' | 'invalid';

/**
 * @param bitmap the second word of an extended L2 entry of a standard cluster
 * @param index 0 to 31
 * @param allocated whether the entry has a host cluster
 */
export function subclusterKind(bitmap: bigint, index: number, allocated: boolean): SubclusterKind {
  const bit = BigInt(index);
  const data = ((bitmap >> bit) & 1n) !== 0n;
  const zero = ((bitmap >> (bit + ZERO_SHIFT)) & 1n) !== 0n;
  if (data && (zero || !allocated)) return 'invalid';
  if (zero) return 'zero';
  return data ? 'normal' : 'unallocated';
}
