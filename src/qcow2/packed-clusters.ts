/** Guest clusters of one range as the file stores them, one after the other in memory. */

/**
 * Stored bytes of each guest cluster: 0 for a zero cluster, the cluster size for an uncompressed one, UNCHANGED for one
 * that equals the backing file's, otherwise the length of the compressed cluster.
 */
export type ClusterSizes = Uint32Array;

/** The size of a cluster that equals the backing file's. */
export const UNCHANGED = 0xffffffff;

export interface PackedClusters {
  readonly sizes: ClusterSizes;
  /**
   * With extended L2 entries, for each normal cluster: bit n is set when subcluster n holds data. The other subclusters
   * are zeros over a backing file, otherwise unallocated. Undefined: all hold data.
   */
  readonly subclusters: Uint32Array | undefined;
  /** The stored clusters without gaps, perhaps followed by other bytes. */
  readonly bytes: Uint8Array;
}

/**
 * Moves the normal clusters to their places in the range, and fills the rest with zeros.
 * @param length bytes of the range
 * @returns the range in the same memory, and the ranges of the normal clusters as pairs [from, to), in bytes
 */
export function unpackNormal(
  { sizes, bytes }: PackedClusters,
  clusterSize: number,
  length: number,
): { readonly disk: Uint8Array; readonly runs: Uint32Array } {
  const runs: number[] = [];
  let stored = sizes.reduce((count, size) => count + (size === clusterSize ? 1 : 0), 0);
  for (let index = sizes.length - 1; index >= 0; index -= 1) {
    const at = index * clusterSize;
    if (sizes[index] !== clusterSize) {
      bytes.fill(0, at, at + clusterSize);
      continue;
    }
    stored -= 1;
    bytes.copyWithin(at, stored * clusterSize, (stored + 1) * clusterSize);
    runs.unshift(at, Math.min(at + clusterSize, length));
  }
  return { disk: bytes.subarray(0, length), runs: Uint32Array.from(runs) };
}
