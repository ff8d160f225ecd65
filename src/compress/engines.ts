/**
 * Which engine does the work: chosen once on the main thread (`chooseCompressor`), made in each worker
 * (`createCompressor`, `createDecompressor`), listed for --version (`surveyEngines`).
 */
import type { CompressionType } from '../compression-type.js';
import { Qcow2cError, usageError } from '../errors.js';
import type { Compressor, CompressorChoice, Decompressor, EngineName } from './codec.js';
import { LIBDEFLATE_SYMBOL, LibdeflateCompressor, LibdeflateDecompressor } from './libdeflate.js';
import { LIBZSTD_SYMBOL, LibzstdCompressor, LibzstdDecompressor, libzstdVersion } from './libzstd.js';
import {
  koffiVersion,
  LIBDEFLATE_NAMES,
  LIBZSTD_NAMES,
  loadNativeLibrary,
  type NativeLibrary,
} from './native-library.js';
import { NodeZlibCompressor } from './node-zlib.js';
import { hasNodeZstd, NodeZstdCompressor, NodeZstdDecompressor } from './node-zstd.js';
import { portableInflate, zlibSync, zlibSyncVersion } from './zlib-sync-inflate.js';

export interface CompressorRequest {
  readonly type: CompressionType;
  /** Default: the fastest there is. */
  readonly engine?: EngineName | undefined;
  /** Default: the fastest level whose output is not larger than qemu-img's. */
  readonly level?: number | undefined;
  /** Bytes of a guest cluster, which the default level depends on; default 65536. */
  readonly clusterSize?: number | undefined;
  /** Deflate only; default 15. */
  readonly windowBits?: 12 | 15 | undefined;
}

/** What can be had on this machine; asked only as far as a request needs it. */
export interface AvailableEngines {
  /** @returns the library's file, or undefined without it */
  libdeflate(): Promise<string | undefined>;
  libzstd(): Promise<string | undefined>;
  /** @returns whether this Node.js has zstd */
  nodeZstd(): boolean;
}

/** The engines and optional packages of this machine; undefined for what is missing. */
export interface EngineSurvey {
  /** The file, for libdeflate cannot tell its version. */
  readonly libdeflate: string | undefined;
  readonly libzstd: { readonly file: string; readonly version: string } | undefined;
  /** Versions of what is built into Node.js. */
  readonly nodeZlib: string;
  readonly nodeZstd: string | undefined;
  /** Versions of the packages. */
  readonly koffi: string | undefined;
  readonly zlibSync: string | undefined;
}

/** What an engine can do for a compression type. */
interface Ability {
  readonly highestLevel: number;
  readonly defaultLevel: number;
  /** The default where the window of 32 KiB is no advantage over qemu-img's 4 KiB. */
  readonly smallWindowLevel: number;
}

/** Clusters below this many bytes gain next to nothing from a window of 32 KiB. */
const SMALL_CLUSTER = 16384;

/**
 * Smaller than zlib's level 6 with a window of 4 KiB, which qemu-img runs, at about four times its speed.
 * Level 1 is a third faster still, but on some disks larger than qemu-img's output.
 */
const LIBDEFLATE_DEFAULT_LEVEL = 2;
/** On clusters of 1 to 8 KiB level 2 is up to 1 % larger than qemu-img's output, level 4 not always smaller. */
const LIBDEFLATE_SMALL_WINDOW_LEVEL = 5;

/** Smaller than qemu-img's output too, thanks to the window of 32 KiB; levels 1 and 2 not on every disk. */
const NODE_ZLIB_DEFAULT_LEVEL = 3;
/** qemu-img's level. The zlib inside Node.js finds a little less: up to 1.5 % larger than qemu-img's output. */
const NODE_ZLIB_SMALL_WINDOW_LEVEL = 6;

/**
 * What qemu-img runs: it sets no level, and this is zstd's own default. No other parameters: the strategy
 * "fast" with a large hash table is 1.4 times faster, but 1 % larger; whatever is as small is as slow.
 */
const ZSTD_DEFAULT_LEVEL = 3;

/** zstd's own highest level short of those it calls ultra. */
const ZSTD_HIGHEST_LEVEL = 19;

const ZSTD_ABILITY: Ability = {
  highestLevel: ZSTD_HIGHEST_LEVEL,
  defaultLevel: ZSTD_DEFAULT_LEVEL,
  smallWindowLevel: ZSTD_DEFAULT_LEVEL,
};

const ABILITIES: Readonly<Record<EngineName, Readonly<Partial<Record<CompressionType, Ability>>>>> = {
  libdeflate: {
    zlib: {
      highestLevel: 12,
      defaultLevel: LIBDEFLATE_DEFAULT_LEVEL,
      smallWindowLevel: LIBDEFLATE_SMALL_WINDOW_LEVEL,
    },
  },
  libzstd: { zstd: ZSTD_ABILITY },
  node: {
    zlib: {
      highestLevel: 9,
      defaultLevel: NODE_ZLIB_DEFAULT_LEVEL,
      smallWindowLevel: NODE_ZLIB_SMALL_WINDOW_LEVEL,
    },
    zstd: ZSTD_ABILITY,
  },
};

/** What this machine really has. */
const installedEngines: AvailableEngines = {
  libdeflate: async () => (await loadNativeLibrary(LIBDEFLATE_NAMES, LIBDEFLATE_SYMBOL))?.path,
  libzstd: async () => (await loadNativeLibrary(LIBZSTD_NAMES, LIBZSTD_SYMBOL))?.path,
  nodeZstd: hasNodeZstd,
};

/**
 * Chooses engine and level. The choice is plain data for the workers.
 * @param available what there is to choose from; default: what this machine has
 * @throws Qcow2cError ERR_ENGINE when no engine, or not the one asked for, is there for the type;
 *   ERR_USAGE when the engine cannot do the type, the level or the window
 */
export async function chooseCompressor(
  request: CompressorRequest,
  available: AvailableEngines = installedEngines,
): Promise<CompressorChoice> {
  const { type, windowBits = 15, clusterSize = 65536 } = request;
  if (windowBits === 12 && type === 'zstd') {
    throw usageError('compression_window_bits is an option of zlib, not of zstd');
  }
  if (windowBits === 12 && request.engine === 'libdeflate') {
    throw usageError('engine libdeflate has no window of 12 bits (engine node has)');
  }
  const wanted = request.engine ?? (windowBits === 12 ? 'node' : undefined);
  if (wanted !== undefined) abilityOf(wanted, type);
  const { engine, library } = await findEngine(type, wanted, available);
  const { highestLevel, defaultLevel, smallWindowLevel } = abilityOf(engine, type);
  const hasSmallWindow = clusterSize < SMALL_CLUSTER || windowBits === 12;
  const level = request.level ?? (hasSmallWindow ? smallWindowLevel : defaultLevel);
  if (!Number.isInteger(level) || level < 1 || level > highestLevel) {
    throw usageError(`compression level ${level} is out of range for ${engine} (1 to ${highestLevel})`, {
      expected: `1 to ${highestLevel}`,
      found: level,
    });
  }
  return { type, engine, level, windowBits, library };
}

/** @throws Qcow2cError ERR_USAGE when the engine does not do the type */
function abilityOf(engine: EngineName, type: CompressionType): Ability {
  const ability = ABILITIES[engine][type];
  if (ability === undefined) throw usageError(`engine ${engine} does not do ${type}`);
  return ability;
}

/** The engine for a type: the native one if it is there and no other is wanted, else the one of Node.js. */
async function findEngine(
  type: CompressionType,
  wanted: EngineName | undefined,
  available: AvailableEngines,
): Promise<{ engine: EngineName; library?: string }> {
  const native = type === 'zlib' ? 'libdeflate' : 'libzstd';
  if (wanted !== 'node') {
    const library = await available[native]();
    if (library !== undefined) return { engine: native, library };
    if (wanted !== undefined) throw missingEngine(`Engine ${native} is not installed`, native);
  }
  if (type === 'zlib' || available.nodeZstd()) return { engine: 'node' };
  throw missingEngine(
    wanted === 'node' ? 'This Node.js has no zstd' : 'No engine for zstd is installed',
    'libzstd',
  );
}

/** What to install; in Debian's words, with the file for those who have other packages. */
function missingEngine(what: string, native: 'libdeflate' | 'libzstd'): Qcow2cError {
  const remedy =
    native === 'libdeflate'
      ? 'install libdeflate0 (libdeflate.so.0) and the package koffi'
      : 'install libzstd1 (libzstd.so.1) and the package koffi, or run Node.js 22.15 or later';
  return new Qcow2cError('ERR_ENGINE', `${what}: ${remedy}`);
}

/**
 * Makes the compressor that was chosen; run in the worker.
 * @throws Qcow2cError ERR_ENGINE when what was there at the choice is no more
 */
export async function createCompressor(choice: CompressorChoice): Promise<Compressor> {
  const { type, engine, level, windowBits, library } = choice;
  switch (engine) {
    case 'libdeflate':
      return new LibdeflateCompressor(await nativeLibrary('libdeflate', library), level);
    case 'libzstd':
      return new LibzstdCompressor(await nativeLibrary('libzstd', library), level);
    case 'node':
      return type === 'zlib' ? new NodeZlibCompressor(level, windowBits) : new NodeZstdCompressor(level);
  }
}

/**
 * Makes a decompressor; run in the worker.
 * @param engine default: the fastest there is
 * @throws Qcow2cError ERR_ENGINE without an engine for the type, ERR_USAGE when the engine does not do it
 */
export async function createDecompressor(type: CompressionType, engine?: EngineName): Promise<Decompressor> {
  if (engine !== undefined) abilityOf(engine, type);
  const found = await findEngine(type, engine, installedEngines);
  switch (found.engine) {
    case 'libdeflate':
      return new LibdeflateDecompressor(await nativeLibrary('libdeflate', found.library));
    case 'libzstd':
      return new LibzstdDecompressor(await nativeLibrary('libzstd', found.library));
    case 'node':
      return type === 'zlib' ? portableInflate(zlibSync()) : new NodeZstdDecompressor();
  }
}

async function nativeLibrary(
  engine: 'libdeflate' | 'libzstd',
  file: string | undefined,
): Promise<NativeLibrary> {
  const symbol = engine === 'libdeflate' ? LIBDEFLATE_SYMBOL : LIBZSTD_SYMBOL;
  const library = file === undefined ? undefined : await loadNativeLibrary([file], symbol);
  if (library === undefined) throw missingEngine(`Engine ${engine} cannot be loaded`, engine);
  return library;
}

/** @returns every engine and optional package of this machine with its version; for --version */
export async function surveyEngines(): Promise<EngineSurvey> {
  const libdeflate = await loadNativeLibrary(LIBDEFLATE_NAMES, LIBDEFLATE_SYMBOL);
  const libzstd = await loadNativeLibrary(LIBZSTD_NAMES, LIBZSTD_SYMBOL);
  return {
    libdeflate: libdeflate?.path,
    libzstd: libzstd && { file: libzstd.path, version: libzstdVersion(libzstd) },
    nodeZlib: process.versions.zlib,
    nodeZstd: hasNodeZstd() ? process.versions['zstd'] : undefined,
    koffi: await koffiVersion(),
    zlibSync: zlibSyncVersion(),
  };
}
