/**
 * Chooses the level of each cluster by its content: the lowest at which disks of such clusters are not larger than
 * qemu-img's. Levels are counted in steps, because each engine has other ones. docs/engines.md has the measurements.
 */
import type { CompressionType } from '../compression-type.js';
import { type ClusterContent, clusterContent } from './cluster-content.js';
import type { Compressor } from './codec.js';

/** @returns 0 to 4 */
function deflateStep(content: ClusterContent): number {
  const { printable, digits, zeros, high, distinct, nonZeroCollision, repeats4 } = content;
  const isDense = nonZeroCollision < 0.0325;
  // Numbers as text beside binary data, and decimal numbers as binary ones.
  if (digits >= 0.09 && high >= 0.1) return 4;
  if (isDense && nonZeroCollision >= 0.013 && high < 0.405 && digits < 0.06) {
    // Sparse tables of fractions: the bytes between the zeros are random.
    if (zeros >= 0.55 && printable < 0.2 && high >= 0.45 * (1 - zeros)) return 4;
    // Names beside numbers in documents, such as BSON.
    if (isBetween(zeros, 0.2, 0.35) && printable > 0.4 && high < 0.2 && repeats4 < 0.12) return 3;
    // Tables of many different numbers, then machine code.
    return zeros >= 0.35 && distinct >= 200 ? 2 : 1;
  }
  if (!isDense && printable < 0.9 && zeros < 0.38) {
    // Heights, screens and maps: most samples equal the one before.
    if (repeats4 - zeros >= 0.35 && isBetween(distinct, 2, 60)) return 4;
    // Binary records without many repeats, such as those of a bus.
    if (zeros >= 0.2 && high >= 0.2 && printable < 0.4 && repeats4 < 0.15) return 3;
    if (isBetween(high, 0.25, 0.6) && nonZeroCollision < 0.08) {
      // Prices and other decimal fractions of 64 bits: their digits repeat in places that differ.
      if (isDecimals(content)) return 4;
      // Models of bfloat16: no search finds more than the codes of their bytes.
      if (high >= 0.4 && zeros < 0.01 && isBetween(repeats4, 0.03, 0.13)) return 0;
    }
  }
  // Sounds, pictures and numbers of 16 bits.
  if (nonZeroCollision >= 0.017 && high >= 0.38 && repeats4 < 0.03) return 2;
  // Numbers in text hide the repeats that a quick search finds: the more so the fewer letters are between them, as in
  // tracks and variants of genes. Zeros fill up the last blocks of small files. Bytes in Base64 are no numbers.
  const isText = printable >= 0.97 || (zeros < 0.38 && printable + zeros >= 0.97);
  if (isText && digits >= 0.15 && !isDense) return isBetween(distinct, 24, 40) ? 4 : 2;
  if (printable >= 0.97) {
    // Runs of one letter, such as the qualities of DNA reads.
    if (repeats4 >= 0.3 && !isDense) return 3;
    // Some numbers, few letters, or indented and listed text, such as source maps.
    if (digits >= 0.05 || distinct < 50 || (repeats4 >= 0.11 && !isDense)) return 1;
  }
  if (isDense) return denseStep(content);
  // Records, memory, tables: a quick search misses what repeats among many zeros, most where the values are few.
  if (zeros >= 0.38) return isRelocations(content) ? 0 : zeros >= 0.45 && distinct >= 40 ? 3 : 4;
  // Chinese in UTF-16.
  if (isWideText(content)) return 2;
  // Indented text of small files: zeros fill up their last blocks.
  if (zeros >= 0.05 && repeats4 - zeros >= 0.08 && high < 0.09 && printable >= 0.45) return 1;
  // Identifiers in hexadecimal beside a little binary data.
  if (digits >= 0.3 && isBetween(high, 0.03, 0.09)) return 0;
  // Other binary data.
  if (high >= 0.09 || printable < 0.45) return 1;
  // Markup, then other text.
  return digits >= 0.014 && zeros < 0.05 && repeats4 >= 0.0335 ? 1 : 0;
}

/** For random, compressed and encoded bytes no level gains much. What looks like them may be sounds or models. */
function denseStep(content: ClusterContent): number {
  const { printable, zeros, nonZeroCollision, repeats4 } = content;
  if (printable >= 0.9) return 0;
  // Records, samples of several channels, and runs.
  if (zeros >= 0.3 || (repeats4 >= 0.15 && printable < 0.3) || isRuns(content)) return 2;
  // Sounds of 8 bits.
  if (nonZeroCollision >= 0.02 && zeros < 0.02 && printable < 0.6 && repeats4 >= 0.05) return 1;
  const isUneven = isBetween(nonZeroCollision, 0.006, 0.013);
  return isUneven && (repeats4 < 0.01 || repeats4 >= 0.045) ? 1 : 0;
}

const isBetween = (value: number, least: number, limit: number) => value >= least && value < limit;

/** Decimal fractions, stored as numbers of 64 bits. Neighbours differ. */
function isDecimals({
  printable,
  zeros,
  high,
  distinct,
  nonZeroCollision,
  repeats4,
}: ClusterContent): boolean {
  const hasTheirBytes = high < 0.45 && printable >= 0.4 && zeros < 0.1 && distinct < 160;
  return hasTheirBytes && nonZeroCollision < 0.075 && repeats4 < 0.04;
}

/** Every byte value several times in a row. */
function isRuns({ printable, zeros, nonZeroCollision, repeats4 }: ClusterContent): boolean {
  return nonZeroCollision < 0.008 && printable < 0.45 && repeats4 - zeros >= 0.42;
}

/** Chinese in UTF-16 has two bytes for each character. The higher byte looks like a letter in ASCII. */
function isWideText({ printable, zeros, high, distinct, nonZeroCollision }: ClusterContent): boolean {
  const hasItsBytes = isBetween(printable, 0.45, 0.8) && isBetween(high, 0.09, 0.25) && zeros < 0.03;
  return hasItsBytes && distinct >= 150 && nonZeroCollision >= 0.08;
}

/** Symbols and relocations of programs have entries of 24 bytes that differ little: a quick search finds them. */
function isRelocations({ zeros, repeats4 }: ClusterContent): boolean {
  return isBetween(zeros, 0.7, 0.73) && isBetween(repeats4, 0.41, 0.45);
}

/** @returns 0 to 2 */
function zstdStep(content: ClusterContent): number {
  const { printable, digits, zeros, high, distinct, nonZeroCollision, repeats4 } = content;
  const isDense = nonZeroCollision < 0.0325;
  // Text, also with a little binary data, and of other alphabets.
  if (high < 0.0009 || printable >= 0.9 || (printable >= 0.86 && digits >= 0.25)) return 1;
  if (high >= 0.7 && repeats4 < 0.3 && !isDense) return 1;
  // Random, compressed and other dense bytes: no level gains much, unless there is text between them, as in Java classes.
  if (repeats4 < 0.05 && isDense) return printable >= 0.4 && zeros >= 0.03 ? 1 : 0;
  // Records, memory, sparse tables: a higher level may be worse.
  if (zeros >= 0.3) return 1;
  // The same: records of text, Chinese in UTF-16, runs.
  if (distinct < 140 && nonZeroCollision >= 0.3) return 1;
  if (isWideText(content) || isRuns(content)) return 1;
  // Tables of few values.
  if (distinct < 140) return 2;
  // Machine code and sounds, names and text beside numbers with gaps; then the latter without.
  return printable < 0.2 || zeros >= 0.156 ? 1 : 2;
}

/** Number of steps. */
export const LEVEL_STEPS: Readonly<Record<CompressionType, number>> = { zlib: 5, zstd: 3 };

/** @returns 0, the lowest level, to LEVEL_STEPS[type] - 1 */
export function levelStepOf(type: CompressionType, cluster: Uint8Array): number {
  const content = clusterContent(cluster);
  return type === 'zlib' ? deflateStep(content) : zstdStep(content);
}

/** Compresses each cluster with the compressor of its step. */
export class LevelByContent implements Compressor {
  readonly #type: CompressionType;
  readonly #compressors: readonly Compressor[];

  /** @param compressors one for each step; freed with this one */
  constructor(type: CompressionType, compressors: readonly Compressor[]) {
    this.#type = type;
    this.#compressors = compressors;
  }

  compress(input: Uint8Array, output: Uint8Array): number {
    const compressor = this.#compressors[levelStepOf(this.#type, input)] as Compressor;
    return compressor.compress(input, output);
  }

  free(): void {
    for (const compressor of this.#compressors) compressor.free();
  }
}
