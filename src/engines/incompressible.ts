/**
 * Tells clusters that will not shrink (random, encrypted, compressed already) from all others, for the
 * workers, so that these do not cost a full compression. The answer depends on the cluster's bytes alone.
 */

/** Below this many bytes a sample says little, and compressing costs little. */
const SMALLEST_CLUSTER = 4096;

/** The largest cluster of the format in bytes (cluster_bits 21). */
const LARGEST_CLUSTER = 2 ** 21;

/** Bytes looked at together: enough for ordinary data to give itself away at once. */
const SLICE = 256;

/** Slices pooled into one histogram, which sees what a single slice is too short for. */
const GROUP = 16;

/** At most this many bytes from one slice to the next, so that nothing a page long is overlooked. */
const STRIDE = 4096;

/**
 * The highest sum of squared byte counts that passes for uniform. For n uniform bytes the sum has the mean
 * n + n(n-1)/256 and a standard deviation of about sqrt(2 * 255) * n / 256.
 */
const uniformLimit = (bytes: number, deviations: number) =>
  bytes + (bytes * (bytes - 1)) / 256 + (deviations * Math.sqrt(2 * 255) * bytes) / 256;

/**
 * Beyond it ordinary data gives itself away with its first slice. Short of it bytes shrink by a sixth at
 * most, and the one page they stand for is a 16th of a cluster.
 */
const SLICE_LIMIT = uniformLimit(SLICE, 20);

/** Groups this unequal shrink by less than half a hundredth. Compressed streams are not quite uniform. */
const GROUP_LIMIT = uniformLimit(SLICE * GROUP, 8);

/**
 * Where repeats are looked for: behind zeros, which pad files, and behind spaces, for text that lies between
 * the slices. The two meet one byte in 128 of random data, dense enough for repeats of 1 % of a cluster.
 */
const ANCHORS = [0x00, 0x20] as const;

/** One anchor in this many bytes of a cluster, four times what is random, is a pattern by itself. */
const BYTES_PER_KEY = 32;

/** By chance two of a cluster's 32-bit keys are equal now and then; twice in one cluster is no chance. */
const FEWEST_REPEATS = 2;

/** Scratch, one for all calls: they are synchronous, and every worker thread has this module to itself. */
const sliceCounts = new Uint16Array(256);
const groupCounts = new Uint16Array(256);
const keys = new Uint32Array(LARGEST_CLUSTER / BYTES_PER_KEY);

/**
 * @param cluster the bytes of one guest cluster; their number is a power of two up to 2 MiB
 * @returns true when deflate would hardly make it smaller: by less than about one part in a hundred. A
 *   wrong answer never makes a wrong image: the cluster is stored as it is, or compressed in vain.
 */
export function looksIncompressible(cluster: Uint8Array): boolean {
  if (cluster.length < SMALLEST_CLUSTER) return false;
  return bytesLookUniform(cluster) && !repeatsItself(cluster);
}

/** Whether in every slice and every group of slices all byte values are about equally frequent. */
function bytesLookUniform(cluster: Uint8Array): boolean {
  const stride = Math.min(STRIDE, cluster.length / GROUP);
  // A cluster of 4096 bytes or more has a whole number of groups.
  for (let group = 0; group < cluster.length; group += GROUP * stride) {
    groupCounts.fill(0);
    for (let slice = 0; slice < GROUP; slice += 1) {
      // From page to page the slice moves on by its own length: pages that all start alike do not deceive.
      const start = group + slice * stride + ((slice * SLICE) % stride);
      if (countSlice(cluster, start) > SLICE_LIMIT) return false;
      for (let byte = 0; byte < 256; byte += 1) {
        groupCounts[byte] = (groupCounts[byte] as number) + (sliceCounts[byte] as number);
      }
    }
    let squares = 0;
    for (const count of groupCounts) squares += count * count;
    if (squares > GROUP_LIMIT) return false;
  }
  return true;
}

/** Counts a slice's bytes into sliceCounts. @returns the sum of the squared counts */
function countSlice(cluster: Uint8Array, start: number): number {
  sliceCounts.fill(0);
  let squares = 0;
  for (let at = start; at < start + SLICE; at += 1) {
    const byte = cluster[at] as number;
    const count = sliceCounts[byte] as number;
    // (count + 1)^2 - count^2
    squares += 2 * count + 1;
    sliceCounts[byte] = count + 1;
  }
  return squares;
}

/** Whether the four bytes behind an anchor come again behind another one, as they do in what deflate finds. */
function repeatsItself(cluster: Uint8Array): boolean {
  // Buffer's indexOf is memchr; that of a plain Uint8Array is eight times slower.
  const bytes = Buffer.from(cluster.buffer, cluster.byteOffset, cluster.length);
  const most = cluster.length / BYTES_PER_KEY;
  const end = cluster.length - 4;
  let found = 0;
  for (const anchor of ANCHORS) {
    for (let at = bytes.indexOf(anchor); at !== -1 && at < end; at = bytes.indexOf(anchor, at + 1)) {
      if (found === most) return true;
      keys[found] = bytes.readUInt32LE(at + 1);
      found += 1;
    }
  }
  const sorted = keys.subarray(0, found).sort();
  let repeats = 0;
  for (let i = 1; i < found; i += 1) {
    if (sorted[i] === sorted[i - 1]) repeats += 1;
    if (repeats === FEWEST_REPEATS) return true;
  }
  return false;
}
