/**
 * Chooses the level of each cluster by its content: the lowest at which disks of such clusters are not larger than
 * qemu-img's. Levels are counted in steps, because each engine has other ones. docs/engines.md has the measurements.
 */
import type { CompressionType } from '../compression-type.js';
import { clusterContent } from './cluster-content.js';
import type { Compressor } from './codec.js';
import { DEFLATE_LEVELS, deflateLevel } from './deflate-levels.js';
import { ZSTD_LEVELS, zstdLevel } from './zstd-levels.js';

/** Number of steps. */
export const LEVEL_STEPS: Readonly<Record<CompressionType, number>> = {
  zlib: DEFLATE_LEVELS.length,
  zstd: ZSTD_LEVELS.length,
};

/** @returns 0, the lowest level, to LEVEL_STEPS[type] - 1 */
export function levelStepOf(type: CompressionType, cluster: Uint8Array): number {
  const content = clusterContent(cluster);
  return type === 'zlib'
    ? DEFLATE_LEVELS.indexOf(deflateLevel(content))
    : ZSTD_LEVELS.indexOf(zstdLevel(content));
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
