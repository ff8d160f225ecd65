/**
 * Which engine does the work: chosen once on the main thread (`chooseCompressor`), made in each worker
 * (`createCompressor`, `createDecompressor`), listed for --version (`surveyEngines`).
 */
import { realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import type { CompressionType } from '../compression-type.js';
import { Qcow2cError, usageError } from '../errors.js';
import { BlockwiseInflater } from './blockwise-inflater.js';
import { CheckedCompressor } from './checked-compressor.js';
import type { Compressor, CompressorChoice, Decompressor, EngineName } from './codec.js';
import { compressesRight } from './compression-trial.js';
import { defaultLevel } from './default-levels.js';
import { DeflateDecompressor } from './deflate-decompressor.js';
import { LevelByContent } from './level-by-content.js';
import { LIBDEFLATE_SYMBOL, LibdeflateCompressor, LibdeflateInflater } from './libdeflate.js';
import { tryLibdeflate, tryLibzstd } from './library-trial.js';
import {
  LIBZSTD_SYMBOL,
  LibzstdCompressor,
  LibzstdDecompressor,
  libzstdVersion,
  mayCorrupt,
} from './libzstd.js';
import {
  koffiVersion,
  LIBDEFLATE_NAMES,
  LIBZSTD_NAMES,
  loadNativeLibrary,
  type NativeLibrary,
} from './native-library.js';
import { NodeZlibCompressor, NodeZlibInflater } from './node-zlib.js';
import { hasNodeZstd, NodeZstdCompressor, NodeZstdDecompressor } from './node-zstd.js';

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
  /** Inflate and compare each payload before it is used. Default: only where the engine is known to err. */
  readonly checkPayloads?: boolean | undefined;
}

/** What can be had on this machine; asked only as far as a request needs it. */
export interface AvailableEngines {
  /** @returns the library's file, or undefined without it */
  libdeflate(): Promise<string | undefined>;
  libzstd(): Promise<string | undefined>;
  /** @returns whether this Node.js has zstd */
  nodeZstd(): boolean;
  /** @returns the version of an engine's zstd, such as 1.5.4; undefined where it has none */
  zstdVersion(engine: EngineName): Promise<string | undefined>;
  /** @returns whether it compresses samples as it should */
  works(choice: CompressorChoice): Promise<boolean>;
}

/** Where a native library comes from. */
export interface LibraryOrigin {
  /** What was loaded, without symbolic links. */
  readonly file: string;
  readonly version: string;
}

/** The engines and optional packages of this machine; undefined for what is missing. */
export interface EngineSurvey {
  /** libdeflate does not tell its version: the name it was found by, whose number is that of its interface. */
  readonly libdeflate: LibraryOrigin | undefined;
  readonly libzstd: LibraryOrigin | undefined;
  /** Versions of what is built into Node.js. */
  readonly nodeZlib: string;
  readonly nodeZstd: string | undefined;
  /** Versions of the packages. */
  readonly koffi: string | undefined;
}

/** zstd's own highest level short of those it calls ultra. */
const ZSTD_HIGHEST_LEVEL = 19;

/** What an engine does, and its highest level; the lowest is 1. */
const HIGHEST_LEVELS: Readonly<Record<EngineName, Readonly<Partial<Record<CompressionType, number>>>>> = {
  libdeflate: { zlib: 12 },
  libzstd: { zstd: ZSTD_HIGHEST_LEVEL },
  node: { zlib: 9, zstd: ZSTD_HIGHEST_LEVEL },
};

/**
 * What this thread has tried and found good, by the names it was asked by and by its file: koffi binds it anew each
 * time.
 */
const triedLibraries = new Map<string, NativeLibrary>();

/** Tried before it is used, in each thread once. */
async function load(
  names: readonly string[],
  symbol: string,
  trial: (library: NativeLibrary) => void,
): Promise<NativeLibrary | undefined> {
  const key = names.join();
  const library = triedLibraries.get(key) ?? (await loadNativeLibrary(names, symbol, trial));
  if (library === undefined) return undefined;
  triedLibraries.set(key, library);
  triedLibraries.set(library.path, library);
  return library;
}

const loadLibdeflate = (names = LIBDEFLATE_NAMES) => load(names, LIBDEFLATE_SYMBOL, tryLibdeflate);
const loadLibzstd = (names = LIBZSTD_NAMES) => load(names, LIBZSTD_SYMBOL, tryLibzstd);

/** What this machine really has. */
const installedEngines: AvailableEngines = {
  libdeflate: async () => (await loadLibdeflate())?.path,
  libzstd: async () => (await loadLibzstd())?.path,
  nodeZstd: hasNodeZstd,
  zstdVersion: async (engine) => {
    if (engine === 'node') return hasNodeZstd() ? process.versions['zstd'] : undefined;
    const library = engine === 'libzstd' ? await loadLibzstd() : undefined;
    return library && libzstdVersion(library);
  },
  works: async (choice) => {
    const decompressor = await createDecompressor(decompressorFor(choice));
    try {
      const compressor = await createCompressor({ ...choice, checks: false });
      try {
        return compressesRight(compressor, decompressor);
      } finally {
        compressor.free();
      }
    } finally {
      decompressor.free();
    }
  },
};

/**
 * Chooses engine and level, and tries them. The choice is plain data for the workers.
 * @param available what there is to choose from; default: what this machine has
 * @throws Qcow2cError ERR_ENGINE when no engine, or not the one asked for, is there for the type or works;
 *   ERR_USAGE when the engine cannot do the type, the level or the window
 */
export async function chooseCompressor(
  request: CompressorRequest,
  available: AvailableEngines = installedEngines,
): Promise<CompressorChoice> {
  const { type, windowBits = 15 } = request;
  if (windowBits === 12 && type === 'zstd') {
    throw usageError('compression_window_bits is an option of zlib, not of zstd');
  }
  if (windowBits === 12 && request.engine === 'libdeflate') {
    throw usageError('engine libdeflate has no window of 12 bits (engine node has)');
  }
  const wanted = request.engine ?? (windowBits === 12 ? 'node' : undefined);
  if (wanted !== undefined) highestLevelOf(wanted, type);
  const found = await findEngine(type, wanted, available);
  const choice = await choiceOf(found, request, available);
  if (await available.works(choice)) return choice;
  const hasOther =
    wanted === undefined && found.engine !== 'node' && (type === 'zlib' || available.nodeZstd());
  const other = hasOther ? await choiceOf({ engine: 'node' }, request, available) : undefined;
  if (other !== undefined && (await available.works(other))) return other;
  const what = `Engine ${choice.engine} compresses wrongly at level ${choice.level}`;
  throw new Qcow2cError(
    'ERR_ENGINE',
    `${what}: use another level or engine, or update ${choice.library ?? 'Node.js'}`,
  );
}

async function choiceOf(
  { engine, library }: { readonly engine: EngineName; readonly library?: string },
  { type, level: wanted, clusterSize = 65536, windowBits = 15, checkPayloads = false }: CompressorRequest,
  available: AvailableEngines,
): Promise<CompressorChoice> {
  const effort =
    wanted === undefined ? defaultLevel(engine, type, clusterSize, windowBits) : { level: wanted };
  const { level } = effort;
  const highestLevel = highestLevelOf(engine, type);
  if (!Number.isInteger(level) || level < 1 || level > highestLevel) {
    throw usageError(`compression level ${level} is out of range for ${engine} (1 to ${highestLevel})`, {
      expected: `1 to ${highestLevel}`,
      found: level,
    });
  }
  const checks = checkPayloads || (type === 'zstd' && mayCorrupt(await available.zstdVersion(engine), level));
  return { type, engine, ...effort, windowBits, library, ...(checks ? { checks } : {}) };
}

/** @throws Qcow2cError ERR_USAGE when the engine does not do the type */
function highestLevelOf(engine: EngineName, type: CompressionType): number {
  const level = HIGHEST_LEVELS[engine][type];
  if (level === undefined) throw usageError(`engine ${engine} does not do ${type}`);
  return level;
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
    if (wanted !== undefined)
      throw missingEngine(`Engine ${native} is not installed or does not work`, native);
  }
  if (type === 'zlib' || available.nodeZstd()) return { engine: 'node' };
  throw missingEngine(
    wanted === 'node' ? 'This Node.js has no zstd' : 'No engine for zstd is installed or works',
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
  const { engine, library } = choice;
  const native = engine === 'node' ? undefined : await nativeLibrary(engine, library);
  if (!choice.checks) return compressorOf(choice, native);
  const decompressor = await createDecompressor(decompressorFor(choice));
  try {
    const lower = LOWER_LEVELS.filter((level) => level < choice.level).map((level) => () => {
      return compressorOf({ ...choice, level, tableLevel: undefined, hashLog: undefined }, native);
    });
    return new CheckedCompressor(compressorOf(choice, native), lower, decompressor);
  } catch (error) {
    decompressor.free();
    throw error;
  }
}

/** What is tried instead of a level that has compressed a cluster wrongly. 12 is below the levels that split blocks. */
const LOWER_LEVELS = [12, 6, 1];

/** @param native the library of a native engine */
function compressorOf(choice: CompressorChoice, native: NativeLibrary | undefined): Compressor {
  const { type, engine, level, tableLevel, hashLog, windowBits } = choice;
  if (native === undefined) {
    return type === 'zlib' ? new NodeZlibCompressor(level, windowBits) : new NodeZstdCompressor(level);
  }
  if (engine === 'libzstd') return new LibzstdCompressor(native, level, hashLog);
  const usual = new LibdeflateCompressor(native, level);
  if (tableLevel === undefined) return usual;
  return new LevelByContent(usual, new LibdeflateCompressor(native, tableLevel));
}

/** What inflates what a choice has compressed: of Node.js where that is what compresses. */
function decompressorFor({ type, engine }: CompressorChoice): DecompressorRequest {
  return { type, engine: engine === 'node' ? 'node' : undefined };
}

/** @returns whether Node.js alone inflates the type, so that nothing native needs to be loaded */
export function nodeInflates(type: CompressionType): boolean {
  return type === 'zlib' || hasNodeZstd();
}

export interface DecompressorRequest {
  readonly type: CompressionType;
  /** Default: the fastest there is. */
  readonly engine?: EngineName | undefined;
}

/**
 * Makes a decompressor; run in the worker.
 * @throws Qcow2cError ERR_ENGINE without an engine for the type, ERR_USAGE when the engine does not do it
 */
export async function createDecompressor(request: DecompressorRequest): Promise<Decompressor> {
  const { type, engine } = request;
  if (engine !== undefined) highestLevelOf(engine, type);
  const { engine: chosen, library } = await findEngine(type, engine, installedEngines);
  switch (chosen) {
    case 'libdeflate': {
      const native = await nativeLibrary('libdeflate', library);
      return new DeflateDecompressor(
        new NodeZlibInflater(),
        new BlockwiseInflater(new LibdeflateInflater(native)),
      );
    }
    case 'libzstd':
      return new LibzstdDecompressor(await nativeLibrary('libzstd', library));
    case 'node':
      return type === 'zlib' ? new DeflateDecompressor(new NodeZlibInflater()) : new NodeZstdDecompressor();
  }
}

async function nativeLibrary(
  engine: 'libdeflate' | 'libzstd',
  file: string | undefined,
): Promise<NativeLibrary> {
  const loadFrom = engine === 'libdeflate' ? loadLibdeflate : loadLibzstd;
  const library = file === undefined ? undefined : await loadFrom([file]);
  if (library === undefined) throw missingEngine(`Engine ${engine} cannot be loaded`, engine);
  return library;
}

/** @returns every engine and optional package of this machine with its version; for --version */
export async function surveyEngines(): Promise<EngineSurvey> {
  const libdeflate = await loadLibdeflate();
  const libzstd = await loadLibzstd();
  return {
    libdeflate: libdeflate && (await originOf(libdeflate, basename(libdeflate.name))),
    libzstd: libzstd && (await originOf(libzstd, libzstdVersion(libzstd))),
    nodeZlib: process.versions.zlib,
    nodeZstd: hasNodeZstd() ? process.versions['zstd'] : undefined,
    koffi: await koffiVersion(),
  };
}

async function originOf({ path }: NativeLibrary, version: string): Promise<LibraryOrigin> {
  // A path that is none (a name, where the system does not tell) stays as it is.
  return { version, file: await realpath(path).catch(() => path) };
}
