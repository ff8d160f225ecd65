/**
 * The subclusters of a cluster with an extended L2 entry: two words of 32 bits give the state of each. The rules are
 * QEMU's (qcow2_get_subcluster_type in block/qcow2.h). Specification: "Extended L2 Entries".
 */

/** Subclusters of a cluster with extended L2 entries. */
export const SUBCLUSTERS = 32;

/** A bit for every subcluster. */
export const ALL_SUBCLUSTERS = 2 ** SUBCLUSTERS - 1;

type SubclusterKind = 'unallocated' | 'zero' | 'normal';

/**
 * Whether the bits of any subcluster contradict each other or the entry. QEMU then refuses the whole entry.
 * @param data bit n: subcluster n is stored; `zero` likewise: it reads as zeros; unsigned numbers
 * @param allocated whether the entry has a host cluster
 */
export function isContradictory(data: number, zero: number, allocated: boolean): boolean {
  return allocated ? (data & zero) !== 0 : data !== 0;
}

/**
 * @param data and `zero` as above, without contradictions
 * @param from 0 to 31
 * @returns the kind of subcluster `from`, and how many from there on have the same kind
 */
export function subclusterRun(
  data: number,
  zero: number,
  from: number,
): { readonly kind: SubclusterKind; readonly count: number } {
  const bit = 1 << from;
  const kind = (zero & bit) !== 0 ? 'zero' : (data & bit) !== 0 ? 'normal' : 'unallocated';
  const others = kind === 'zero' ? ~zero : kind === 'normal' ? ~data : data | zero;
  const behind = others >>> from;
  return { kind, count: behind === 0 ? SUBCLUSTERS - from : lowestBit(behind) };
}

/** @param word of 32 bits, not 0 */
function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}
