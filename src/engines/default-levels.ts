/**
 * The default levels of each engine: the lowest whose output is not larger than qemu-img's of the same disk, measured in
 * docs/engines.md; and the range of its levels. Used where the engine is chosen.
 */
import type { CompressionType } from '../compression-type.js';
import { usageError } from '../errors.js';
import type { EngineName } from './codec.js';
import { DEFLATE_LEVELS } from './deflate-levels.js';
import { ISAL_FASTEST } from './isal.js';
import { ZSTD_LEVELS } from './zstd-levels.js';

/** qemu-img compresses with zlib level 6 and a window of 4 KiB. Below this a window of 32 KiB is no advantage. */
const SMALL_CLUSTER = 16384;
/** From here on it makes up for lower levels. */
const LARGE_CLUSTER = 65536;
/** zstd takes other parameters for larger inputs; for those the levels by content were not measured. */
const LARGEST_ZSTD_CLUSTER = 131072;

/** The level of each step (level-by-content.ts). ISA-L replaces the first of libdeflate where it is installed. */
const LIBDEFLATE = DEFLATE_LEVELS.map((level) => Math.max(1, level));
/** The zlib in Node.js finds a little less than others. */
const NODE_ZLIB = [4, 5, 5, 6, 7, 8];
/**
 * For these, libzstd's tables have as many entries as the window has bytes, or twice as many: fewer hashes collide,
 * which makes payloads smaller and takes less time. Not for Node.js, which allocates and clears them for each cluster.
 */
export const ZSTD_TABLE_LOG = 17;

/**
 * @param clusterSize bytes
 * @param windowBits deflate's window
 * @returns one level for all clusters, or the level of each step
 */
export function defaultLevels(
  engine: EngineName,
  type: CompressionType,
  clusterSize: number,
  windowBits: 12 | 15,
): number | readonly number[] {
  if (type === 'zstd') {
    return clusterSize >= LARGE_CLUSTER && clusterSize <= LARGEST_ZSTD_CLUSTER ? ZSTD_LEVELS : 3;
  }
  if (engine === 'isal') return ISAL_FASTEST;
  const isLibdeflate = engine === 'libdeflate';
  // Level 2 is up to 1 % larger here, 4 not always smaller; and qemu-img's level is 6.
  if (clusterSize < SMALL_CLUSTER || windowBits === 12) return isLibdeflate ? 5 : 6;
  // Level 1 is up to 2 % larger.
  if (clusterSize < LARGE_CLUSTER) return isLibdeflate ? 2 : 3;
  return isLibdeflate ? LIBDEFLATE : NODE_ZLIB;
}

/** zstd's own highest level short of those it calls ultra. */
const ZSTD_HIGHEST_LEVEL = 19;

/** What an engine does, with its lowest and highest level. */
const LEVELS: Readonly<
  Record<EngineName, Readonly<Partial<Record<CompressionType, readonly [number, number]>>>>
> = {
  isal: { zlib: [0, 2] },
  libdeflate: { zlib: [1, 12] },
  libzstd: { zstd: [1, ZSTD_HIGHEST_LEVEL] },
  node: { zlib: [1, 9], zstd: [1, ZSTD_HIGHEST_LEVEL] },
};

/** @throws Qcow2cError ERR_USAGE when the engine does not support the type */
export function levelsOf(
  engine: EngineName,
  type: CompressionType,
): readonly [lowest: number, highest: number] {
  const levels = LEVELS[engine][type];
  if (levels === undefined) throw usageError(`Engine ${engine} does not support ${type}`);
  return levels;
}
