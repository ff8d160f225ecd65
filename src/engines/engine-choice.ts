/**
 * Which engine does the work: chosen once on the main thread (`chooseCompressor`), made in each worker
 * (`createCompressor`, `createDecompressor`).
 */
import type { CompressionType } from '../compression-type.js';
import { Qcow2cError, usageError } from '../errors.js';
import { BlockwiseInflater } from './blockwise-inflater.js';
import { CheckedCompressor } from './checked-compressor.js';
import type {
  Compressor,
  CompressorChoice,
  Decompressor,
  EngineName,
  InflatingEngine,
  NativeEngine,
} from './codec.js';
import { compressesRight } from './compression-trial.js';
import { defaultLevel, levelsOf } from './default-levels.js';
import { DeflateDecompressor } from './deflate-decompressor.js';
import { findLibrary, loadLibrary, missingLibrary } from './installed-libraries.js';
import { ISAL_FASTEST, IsalCompressor, isalUnportable } from './isal.js';
import { LevelByContent } from './level-by-content.js';
import { LibdeflateCompressor, LibdeflateInflater } from './libdeflate.js';
import { LibzstdCompressor, LibzstdDecompressor, libzstdVersion, mayCorrupt } from './libzstd.js';
import type { NativeLibrary } from './native-library.js';
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
  /** @returns the library's file, or undefined without one that works */
  library(engine: NativeEngine): Promise<string | undefined>;
  /** @returns whether this Node.js has zstd */
  nodeZstd(): boolean;
  /** @returns the version of an engine's zstd, such as 1.5.4; undefined where it has none */
  zstdVersion(engine: EngineName): Promise<string | undefined>;
  /** @returns why ISA-L's bytes here are not those of other machines; undefined: they are */
  isalUnportable(): string | undefined;
  /** @returns whether it compresses samples as it should */
  works(choice: CompressorChoice): Promise<boolean>;
}

/** The engines that compress and inflate a type, the fastest first. */
const ENGINES = { zlib: ['libdeflate', 'node'], zstd: ['libzstd', 'node'] } as const;

/** What this machine really has. */
const installedEngines: AvailableEngines = {
  library: async (engine) => (await findLibrary(engine))?.path,
  nodeZstd: hasNodeZstd,
  zstdVersion: async (engine) => {
    if (engine === 'node') return hasNodeZstd() ? process.versions['zstd'] : undefined;
    const library = engine === 'libzstd' ? await findLibrary('libzstd') : undefined;
    return library && libzstdVersion(library);
  },
  isalUnportable,
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
  const { engine } = request;
  if (windowBits === 12 && (engine === 'libdeflate' || engine === 'isal')) {
    throw usageError(`engine ${engine} has no window of 12 bits (engine node has)`);
  }
  if (engine !== undefined) levelsOf(engine, type);
  const candidates = engine === undefined ? fastestFirst(type, request) : [{ engine, level: request.level }];
  let wrong: CompressorChoice | undefined;
  for (const candidate of candidates) {
    const found = await findEngine(candidate.engine, type, available);
    if (found === undefined) continue;
    const choice = await choiceOf(found, { ...request, level: candidate.level }, available);
    if (await available.works(choice)) return choice;
    wrong ??= choice;
  }
  if (wrong === undefined) throw missingEngine(type, engine);
  const what = `Engine ${wrong.engine} compresses wrongly at level ${wrong.level}`;
  throw new Qcow2cError(
    'ERR_ENGINE',
    `${what}: use another level or engine, or update ${wrong.library ?? 'Node.js'}`,
  );
}

interface Candidate {
  readonly engine: EngineName;
  /** undefined: the engine's default. */
  readonly level: number | undefined;
}

/** The engines for a type, in the order in which they are tried. */
function fastestFirst(
  type: CompressionType,
  { level, windowBits }: Pick<CompressorRequest, 'level' | 'windowBits'>,
): Candidate[] {
  if (windowBits === 12) return [{ engine: 'node', level }];
  const others = ENGINES[type].map((engine) => ({ engine, level }));
  // Level 1 asks for speed alone. ISA-L has fewer levels than others, and its highest is its fastest but for level 0.
  return type === 'zlib' && level === 1 ? [{ engine: 'isal', level: ISAL_FASTEST }, ...others] : others;
}

async function choiceOf(
  { engine, library }: FoundEngine,
  { type, level: wanted, clusterSize = 65536, windowBits = 15, checkPayloads = false }: CompressorRequest,
  available: AvailableEngines,
): Promise<CompressorChoice> {
  const effort =
    wanted === undefined ? defaultLevel(engine, type, clusterSize, windowBits) : { level: wanted };
  const { level } = effort;
  const [lowest, highest] = levelsOf(engine, type);
  if (!Number.isInteger(level) || level < lowest || level > highest) {
    throw usageError(`compression level ${level} is out of range for ${engine} (${lowest} to ${highest})`, {
      expected: `${lowest} to ${highest}`,
      found: level,
    });
  }
  const checks = checkPayloads || (type === 'zstd' && mayCorrupt(await available.zstdVersion(engine), level));
  const unportable = engine === 'isal' ? available.isalUnportable() : undefined;
  return {
    ...{ type, engine, ...effort, windowBits, library },
    ...(checks ? { checks } : {}),
    ...(unportable === undefined ? {} : { unportable }),
  };
}

interface FoundEngine {
  readonly engine: EngineName;
  readonly library?: string;
}

/** @returns undefined where the engine is missing */
async function findEngine(
  engine: EngineName,
  type: CompressionType,
  available: AvailableEngines,
): Promise<FoundEngine | undefined> {
  if (engine === 'node') return type === 'zlib' || available.nodeZstd() ? { engine } : undefined;
  const library = await available.library(engine);
  return library === undefined ? undefined : { engine, library };
}

/** @param engine the one that was asked for */
function missingEngine(type: CompressionType, engine: EngineName | undefined): Qcow2cError {
  if (engine !== undefined && engine !== 'node') {
    return missingLibrary(`Engine ${engine} is not installed or does not work`, engine);
  }
  const what = engine === 'node' ? 'This Node.js has no zstd' : `No engine for ${type} is installed or works`;
  return missingLibrary(what, type === 'zlib' ? 'libdeflate' : 'libzstd');
}

/**
 * Makes the compressor that was chosen; run in the worker.
 * @throws Qcow2cError ERR_ENGINE when what was there at the choice is no more
 */
export async function createCompressor(choice: CompressorChoice): Promise<Compressor> {
  const { engine, library } = choice;
  const native = engine === 'node' ? undefined : await loadLibrary(engine, library);
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
  if (engine === 'isal') return new IsalCompressor(native, level);
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
  readonly engine?: InflatingEngine | undefined;
}

/**
 * Makes a decompressor; run in the worker.
 * @throws Qcow2cError ERR_ENGINE without an engine for the type, ERR_USAGE when the engine does not do it
 */
export async function createDecompressor({ type, engine }: DecompressorRequest): Promise<Decompressor> {
  if (engine !== undefined) levelsOf(engine, type);
  for (const candidate of engine === undefined ? ENGINES[type] : [engine]) {
    const native = candidate === 'node' ? undefined : await findLibrary(candidate);
    if (native !== undefined) return nativeDecompressor(type, native);
    if (candidate === 'node' && type === 'zlib') return new DeflateDecompressor(new NodeZlibInflater());
    if (candidate === 'node' && hasNodeZstd()) return new NodeZstdDecompressor();
  }
  throw missingEngine(type, engine);
}

function nativeDecompressor(type: CompressionType, native: NativeLibrary): Decompressor {
  if (type === 'zstd') return new LibzstdDecompressor(native);
  return new DeflateDecompressor(
    new NodeZlibInflater(),
    new BlockwiseInflater(new LibdeflateInflater(native)),
  );
}
