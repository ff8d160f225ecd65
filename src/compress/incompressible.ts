/**
 * Tells clusters that will not shrink (random, encrypted, compressed already) from the rest, for the
 * workers, so that these cost no compression. Depends on the cluster's bytes alone.
 */

/** Clusters below this many bytes give too small a sample and cost little to compress. */
const SMALLEST_CLUSTER = 4096;

/** One slice of SLICE bytes in each STRIDE is looked at, so that anything a page long is seen. */
const STRIDE = 4096;
const SLICE = 256;

/** Slices pooled into one histogram. */
const GROUP = 16;

/** Sum of squared counts that uniform bytes give: n + n(n-1)/256, and its standard deviation. */
const expectedSquares = (bytes: number) => bytes + (bytes * (bytes - 1)) / 256;
const deviation = (bytes: number) => (Math.sqrt(2 * 255) * bytes) / 256;

/** Alone a slice must be far off, for there are many; pooled the estimate is sharp. */
const SLICE_LIMIT = expectedSquares(SLICE) + 6 * deviation(SLICE);
const GROUP_DEVIATIONS = 5;

/** Scratch for all calls: they are synchronous, and each worker thread has this module to itself. */
const sliceCounts = new Uint16Array(256);
const groupCounts = new Uint16Array(256);
let keys = new Uint32Array(4096);

/**
 * @param cluster the bytes of one guest cluster
 * @returns true when no engine would make it smaller by more than about one part in a hundred
 */
export function looksIncompressible(cluster: Uint8Array): boolean {
  if (cluster.length < SMALLEST_CLUSTER) return false;
  return hasUniformBytes(cluster) && !hasRepeats(cluster);
}

function hasUniformBytes(cluster: Uint8Array): boolean {
  groupCounts.fill(0);
  let pooled = 0;
  for (let at = 0; at + SLICE <= cluster.length; at += STRIDE) {
    sliceCounts.fill(0);
    for (let i = at; i < at + SLICE; i++) {
      const byte = cluster[i] as number;
      sliceCounts[byte] = (sliceCounts[byte] as number) + 1;
    }
    let squares = 0;
    for (let byte = 0; byte < 256; byte++) {
      const count = sliceCounts[byte] as number;
      squares += count * count;
      groupCounts[byte] = (groupCounts[byte] as number) + count;
    }
    if (squares > SLICE_LIMIT) return false;
    pooled += 1;
    if (pooled === GROUP) {
      if (!groupIsUniform(pooled * SLICE)) return false;
      groupCounts.fill(0);
      pooled = 0;
    }
  }
  return pooled === 0 || groupIsUniform(pooled * SLICE);
}

function groupIsUniform(bytes: number): boolean {
  let squares = 0;
  for (let byte = 0; byte < 256; byte++) squares += (groupCounts[byte] as number) ** 2;
  return squares <= expectedSquares(bytes) + GROUP_DEVIATIONS * deviation(bytes);
}

/** Whether the same bytes come twice: the four bytes after each zero byte, compared as numbers. */
function hasRepeats(cluster: Uint8Array): boolean {
  let found = 0;
  for (let at = cluster.indexOf(0); at !== -1 && at + 4 < cluster.length; at = cluster.indexOf(0, at + 1)) {
    if (found === keys.length) keys = Uint32Array.from({ length: 2 * found }, (_, i) => keys[i] ?? 0);
    keys[found] =
      (((cluster[at + 1] as number) << 24) |
        ((cluster[at + 2] as number) << 16) |
        ((cluster[at + 3] as number) << 8) |
        (cluster[at + 4] as number)) >>>
      0;
    found += 1;
  }
  const sorted = keys.subarray(0, found).sort();
  let repeats = 0;
  for (let i = 1; i < found; i++) if (sorted[i] === sorted[i - 1]) repeats += 1;
  return repeats >= 2;
}
