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
    // Tables of many different numbers, then machine code.
    return zeros >= 0.35 && distinct >= 200 ? 2 : 1;
  }
  // Sounds, pictures and numbers of 16 bits.
  if (nonZeroCollision >= 0.017 && high >= 0.38 && repeats4 < 0.03) return 2;
  if (printable >= 0.97) {
    // Numbers in text hide the repeats that a quick search finds. Bytes in Base64 are no numbers.
    if (digits >= 0.15 && !isDense) return 2;
    // Some numbers, few letters, or indented and listed text, such as source maps.
    if (digits >= 0.05 || distinct < 50 || (repeats4 >= 0.11 && !isDense)) return 1;
  }
  if (isDense) return denseStep(content);
  // Records, memory, tables: a quick search misses what repeats among many zeros.
  if (zeros >= 0.38) return isRelocations(content) ? 0 : zeros >= 0.45 ? 3 : 4;
  // Other binary data.
  if (high >= 0.09 || printable < 0.45) return 1;
  // Markup, then other text.
  return digits >= 0.014 && zeros < 0.05 && repeats4 >= 0.0335 ? 1 : 0;
}

/** For random, compressed and encoded bytes no level gains much. What looks like them may be sounds or models. */
function denseStep({ printable, zeros, nonZeroCollision, repeats4 }: ClusterContent): number {
  if (printable >= 0.9) return 0;
  // Records, and samples of several channels.
  if (zeros >= 0.3 || (repeats4 >= 0.15 && printable < 0.3)) return 2;
  const isUneven = nonZeroCollision >= 0.006 && nonZeroCollision < 0.013;
  return isUneven && (repeats4 < 0.01 || repeats4 >= 0.045) ? 1 : 0;
}

/** Symbols and relocations of programs have entries of 24 bytes that differ little: a quick search finds them. */
function isRelocations({ zeros, repeats4 }: ClusterContent): boolean {
  return zeros >= 0.7 && zeros < 0.73 && repeats4 >= 0.41 && repeats4 < 0.45;
}

/** @returns 0 to 2 */
function zstdStep(content: ClusterContent): number {
  const { printable, zeros, high, distinct, nonZeroCollision, repeats4 } = content;
  // Text.
  if (high < 0.0009 || printable >= 0.9) return 1;
  // Random, compressed and other dense bytes: no level gains much.
  if (repeats4 < 0.05 && nonZeroCollision < 0.0325) return 0;
  // Records, memory, sparse tables: a higher level may be worse.
  if (zeros >= 0.3) return 1;
  // Tables of few values.
  if (distinct < 140) return 2;
  // Machine code.
  if (printable < 0.2) return 0;
  // Names and text beside numbers, with gaps and without.
  return zeros >= 0.156 ? 1 : 2;
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
