/**
 * How much an engine tries when nobody says: the least whose output is not larger than what qemu-img makes of
 * the same disk, measured in docs/engines.md. Used where the engine is chosen.
 */
import type { CompressionType } from '../compression-type.js';
import { usageError } from '../errors.js';
import type { CompressorChoice, EngineName } from './codec.js';
import { ISAL_FASTEST } from './isal.js';

/** qemu-img compresses with zlib level 6 and a window of 4 KiB: of clusters below this, ours sees no more. */
const SMALL_CLUSTER = 16384;
/** From this cluster size on the window of 32 KiB makes up for the lowest level. */
const LARGE_CLUSTER = 65536;

type LevelChoice = Pick<CompressorChoice, 'level' | 'tableLevel' | 'hashLog'>;

/** Between: level 1 is up to 2 % larger than qemu-img's output. */
const LIBDEFLATE: LevelChoice = { level: 2 };
/** Level 1, but 2 for binary tables: those level 1 makes larger than qemu-img does (effort-by-content.ts). */
const LIBDEFLATE_LARGE: LevelChoice = { level: 1, tableLevel: 2 };
/** On clusters of 1 to 8 KiB level 2 is up to 1 % larger, level 4 not always smaller. */
const LIBDEFLATE_SMALL: LevelChoice = { level: 5 };

const ISAL: LevelChoice = { level: ISAL_FASTEST };

/** The fastest level that the window of 32 KiB makes smaller on every disk tried; 1 and 2 not on all. */
const NODE_ZLIB: LevelChoice = { level: 3 };
/** qemu-img's level. The zlib inside Node.js finds a little less: up to 1.5 % larger than qemu-img's output. */
const NODE_ZLIB_SMALL: LevelChoice = { level: 6 };

/** What qemu-img runs: it sets no level, and this is zstd's own default. */
const ZSTD: LevelChoice = { level: 3 };
/**
 * Level 2 with a hash table of 2^17 entries instead of 2^15: within 1 % of qemu-img's size (100.5 % on system
 * files) for a quarter less CPU time; level 3 is 0.7 % smaller than qemu-img.
 */
const LIBZSTD_LARGE: LevelChoice = { level: 2, hashLog: 17 };

/**
 * @param clusterSize bytes
 * @param windowBits deflate's window
 */
export function defaultLevel(
  engine: EngineName,
  type: CompressionType,
  clusterSize: number,
  windowBits: 12 | 15,
): LevelChoice {
  const hasSmallWindow = clusterSize < SMALL_CLUSTER || windowBits === 12;
  if (engine === 'isal') return ISAL;
  if (engine === 'libdeflate') {
    if (hasSmallWindow) return LIBDEFLATE_SMALL;
    return clusterSize >= LARGE_CLUSTER ? LIBDEFLATE_LARGE : LIBDEFLATE;
  }
  if (type === 'zstd') {
    return engine === 'libzstd' && clusterSize >= LARGE_CLUSTER ? LIBZSTD_LARGE : ZSTD;
  }
  return hasSmallWindow ? NODE_ZLIB_SMALL : NODE_ZLIB;
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

/** @throws Qcow2cError ERR_USAGE when the engine does not do the type */
export function levelsOf(
  engine: EngineName,
  type: CompressionType,
): readonly [lowest: number, highest: number] {
  const levels = LEVELS[engine][type];
  if (levels === undefined) throw usageError(`engine ${engine} does not do ${type}`);
  return levels;
}
