/**
 * Detects clusters that will not shrink (random, encrypted or compressed data), so that workers need not compress them.
 * The answer depends only on the cluster's bytes.
 */

/** Below this many bytes a sample is not significant, and compression is cheap. */
const SMALLEST_CLUSTER = 4096;

/** The largest cluster of the format in bytes (cluster_bits 21). */
const LARGEST_CLUSTER = 2 ** 21;

/** Bytes of a slice: enough to recognise ordinary data at once. */
const SLICE = 256;

/** Slices of one group histogram, which detects what a single slice is too short to show. */
const GROUP = 16;

/** Most bytes from one slice to the next, so that no run of a page is missed. */
const STRIDE = 4096;

/**
 * The highest sum of squared byte counts that passes for uniform. For n uniform bytes the sum has the mean
 * n + n(n-1)/256 and a standard deviation of about sqrt(2 * 255) * n / 256.
 */
const uniformLimit = (bytes: number, deviations: number) =>
  bytes + (bytes * (bytes - 1)) / 256 + (deviations * Math.sqrt(2 * 255) * bytes) / 256;

/**
 * Above it the first slice shows ordinary data. Below it bytes shrink by at most a sixth, and the page they represent
 * is a 16th of a cluster.
 */
const SLICE_LIMIT = uniformLimit(SLICE, 20);

/** Groups up to this inequality shrink by less than 0.5 %. Compressed streams are not quite uniform. */
const GROUP_LIMIT = uniformLimit(SLICE * GROUP, 8);

/**
 * Anchors of the search for repeats: zeros, which pad files, and spaces, for text between the slices. The two match one
 * byte in 128 of random data, which is dense enough for repeats of 1 % of a cluster.
 */
const ANCHORS = [0x00, 0x20] as const;

/** One anchor in this many bytes of a cluster is four times the random rate, and thus a pattern. */
const BYTES_PER_KEY = 32;

/** Two equal 32-bit keys in a cluster can occur by chance; two such pairs in one cluster cannot. */
const FEWEST_REPEATS = 2;

/**
 * Scratch memory shared by all calls: calls are synchronous, and every worker thread loads its own copy of the module.
 */
const sliceCounts = new Uint16Array(256);
const groupCounts = new Uint16Array(256);
const keys = new Uint32Array(LARGEST_CLUSTER / BYTES_PER_KEY);

/**
 * @param cluster the bytes of one guest cluster; the length is a power of two up to 2 MiB
 * @returns true if deflate would shrink it by less than about 1 %. A wrong answer never makes a wrong image: the
 *   cluster is stored uncompressed, or compressed unnecessarily.
 */
export function looksIncompressible(cluster: Uint8Array): boolean {
  if (cluster.length < SMALLEST_CLUSTER) return false;
  return bytesLookUniform(cluster) && !repeatsItself(cluster);
}

/** Whether all byte values are about equally frequent in every slice and every group of slices. */
function bytesLookUniform(cluster: Uint8Array): boolean {
  const stride = Math.min(STRIDE, cluster.length / GROUP);
  // A cluster of 4096 bytes or more has a whole number of groups.
  for (let group = 0; group < cluster.length; group += GROUP * stride) {
    groupCounts.fill(0);
    for (let slice = 0; slice < GROUP; slice += 1) {
      // The slice moves by its own length from page to page, so that equal starts of pages do not mislead.
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

/** Adds a slice's bytes to sliceCounts. @returns the sum of the squared counts */
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

/** Whether the four bytes after an anchor occur again after another one, as in data that deflate can match. */
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
