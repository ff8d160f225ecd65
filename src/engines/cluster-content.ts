/**
 * What a cluster holds, as far as about 1,075 of its bytes and the first of each sector tell: enough to choose how hard an
 * engine should try. Depends on the cluster's bytes alone, and is exact on every machine.
 */
import { databasePages } from './database-pages.js';

/** Of a cluster of 64 KiB one byte in 61 is looked at. The number is prime, so no record length hides its columns. */
const STRIDE = 61;
const CLUSTER = 65_536;

/** Shares of the bytes looked at, but for `distinct` and `databasePages`. */
export interface ClusterContent {
  /** Printable ASCII and white space. */
  readonly printable: number;
  readonly digits: number;
  readonly zeros: number;
  /** Bytes from 128 on. */
  readonly high: number;
  /** How many of the 256 byte values occur. */
  readonly distinct: number;
  /** The chance that two of the bytes other than zero are equal: 1/255 for random bytes, 1 for one value only. */
  readonly collision: number;
  /** Bytes equal to that four before. */
  readonly repeats4: number;
  /** The same without the zeros, as if each of them were one. */
  readonly repeats: number;
  readonly printableOrZero: number;
  /** Bytes from 128 on, of those other than zero. */
  readonly highOfOthers: number;
  /** Pages of SQLite databases for each 4 KiB. */
  readonly databasePages: number;
}

/** Scratch of this thread. */
const counts = new Uint32Array(256);

/** @param cluster at least 8 bytes */
export function clusterContent(cluster: Uint8Array): ClusterContent {
  counts.fill(0);
  // The same number of bytes for every cluster size: `distinct` would grow with it. Odd, for the same reason as above.
  const stride = Math.max(1, Math.floor((cluster.length / CLUSTER) * STRIDE)) | 1;
  let samples = 0;
  let repeats4 = 0;
  for (let at = stride >> 1; at < cluster.length; at += stride) {
    const byte = cluster[at] as number;
    counts[byte] = (counts[byte] as number) + 1;
    if (cluster[at - 4] === byte) repeats4 += 1;
    samples += 1;
  }
  let [distinct, squares, printable, digits, high] = [0, 0, 0, 0, 0];
  for (let byte = 0; byte < 256; byte += 1) {
    const count = counts[byte] as number;
    if (count === 0) continue;
    distinct += 1;
    squares += count * count;
    if ((byte >= 32 && byte < 127) || (byte >= 9 && byte <= 13)) printable += count;
    if (byte >= 48 && byte < 58) digits += count;
    if (byte >= 128) high += count;
  }
  const zeros = counts[0] as number;
  const nonZeros = samples - zeros;
  return {
    printable: printable / samples,
    digits: digits / samples,
    zeros: zeros / samples,
    high: high / samples,
    distinct,
    collision: nonZeros === 0 ? 1 : (squares - zeros ** 2) / nonZeros ** 2,
    repeats4: repeats4 / samples,
    repeats: (repeats4 - zeros) / samples,
    printableOrZero: (printable + zeros) / samples,
    highOfOthers: nonZeros === 0 ? 0 : high / nonZeros,
    databasePages: databasePages(cluster),
  };
}
