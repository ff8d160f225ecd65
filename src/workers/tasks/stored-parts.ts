/** Which parts of each cluster runs touch, as bits; for the workers that make uncompressed qcow2 images. */

/** Subclusters of a cluster (specification: "Extended L2 Entries"). */
export const SUBCLUSTERS = 32;

/** Every subcluster. */
export const ALL_SUBCLUSTERS = 0xffffffff;

/**
 * @param runs pairs of bytes from the item's start, [from, to), ascending
 * @param clusters of the item
 * @param clusterSize bytes
 * @returns for each cluster the subclusters that a run touches, bit n for subcluster n; 0 for none. Clusters
 *   smaller than 32 sectors have none: there any bits say that a run touches the cluster
 */
export function touchedSubclusters(
  runs: readonly number[],
  clusters: number,
  clusterSize: number,
): Uint32Array {
  const touched = new Uint32Array(clusters);
  const size = clusterSize / SUBCLUSTERS;
  for (let index = 0; index + 1 < runs.length; index += 2) {
    const end = Math.ceil((runs[index + 1] as number) / size);
    for (let first = Math.floor((runs[index] as number) / size), next: number; first < end; first = next) {
      const cluster = Math.floor(first / SUBCLUSTERS);
      next = Math.min(end, (cluster + 1) * SUBCLUSTERS);
      const start = cluster * SUBCLUSTERS;
      touched[cluster] = (touched[cluster] as number) | (bitsBelow(next - start) & ~bitsBelow(first - start));
    }
  }
  return touched;
}

/** Bits 0 to count - 1; count up to 32. */
function bitsBelow(count: number): number {
  return 2 ** count - 1;
}
