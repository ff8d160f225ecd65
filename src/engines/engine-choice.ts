/** Chooses which engine compresses, at which levels: once, on the main thread. */
import type { CompressionType } from '../compression-type.js';
import { Qcow2cError, usageError } from '../errors.js';
import type { CompressorChoice, EngineLevel, EngineName, NativeEngine } from './codec.js';
import { compressesRight } from './compression-trial.js';
import {
  createCompressor,
  createDecompressor,
  decompressorFor,
  ENGINES,
  missingEngine,
} from './create-engine.js';
import { defaultLevels, levelsOf, ZSTD_TABLE_LOG } from './default-levels.js';
import { findLibrary } from './installed-libraries.js';
import { ISAL_FASTEST, isalUnportable } from './isal.js';
import { libzstdVersion, mayCorrupt } from './libzstd.js';
import { hasNodeZstd } from './node-zstd.js';

export interface CompressorRequest {
  readonly type: CompressionType;
  /** Default: the best there is, and with it ISA-L for what it does as well. */
  readonly engine?: EngineName | undefined;
  /** Default: by content, the fastest levels whose output is not larger than qemu-img's. */
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
      // ISA-L beside libdeflate was tried before it was added.
      const levels = (choice.byContent ?? [choice]).filter(({ engine }) => engine === choice.engine);
      for (const level of levels) {
        const compressor = await createCompressor({
          ...choice,
          ...level,
          byContent: undefined,
          checks: false,
        });
        try {
          if (!compressesRight(compressor, decompressor)) return false;
        } finally {
          compressor.free();
        }
      }
      return true;
    } finally {
      decompressor.free();
    }
  },
};

/**
 * Chooses engine and level, and tries them. The choice is plain data for the workers.
 * @param available what there is to choose from; default: what this machine has
 * @throws Qcow2cError ERR_ENGINE when no engine, or not the one asked for, is there for the type or works;
 *   ERR_USAGE when the engine does not support the type, the level or the window
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
    throw usageError(`Engine ${engine} does not support a 12-bit window; use --engine node`);
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
  found: FoundEngine,
  request: CompressorRequest,
  available: AvailableEngines,
): Promise<CompressorChoice> {
  const { engine } = found;
  const { type, clusterSize = 65536, windowBits = 15, checkPayloads = false } = request;
  const levels = request.level ?? defaultLevels(engine, type, clusterSize, windowBits);
  const level = typeof levels === 'number' ? levels : Math.max(...levels);
  refuseLevel(level, engine, type);
  const tableLog = engine === 'libzstd' ? ZSTD_TABLE_LOG : undefined;
  const byContent: EngineLevel[] | undefined =
    typeof levels === 'number' ? undefined : levels.map((each) => ({ ...found, level: each, tableLog }));
  const choice = { ...found, type, level, windowBits };
  const isal =
    byContent && request.engine === undefined ? await isalForLowestStep(choice, available) : undefined;
  if (byContent !== undefined && isal !== undefined) byContent[0] = isal;
  const checks = checkPayloads || (type === 'zstd' && mayCorrupt(await available.zstdVersion(engine), level));
  const unportable = engine === 'isal' || isal !== undefined ? available.isalUnportable() : undefined;
  return {
    ...choice,
    ...(byContent === undefined ? {} : { byContent }),
    ...(checks ? { checks } : {}),
    ...(unportable === undefined ? {} : { unportable }),
  };
}

/** @returns ISA-L for the lowest step beside libdeflate, where it works */
async function isalForLowestStep(
  choice: CompressorChoice,
  available: AvailableEngines,
): Promise<(FoundEngine & EngineLevel) | undefined> {
  if (choice.engine !== 'libdeflate') return undefined;
  const library = await available.library('isal');
  if (library === undefined) return undefined;
  const isal = { engine: 'isal', level: ISAL_FASTEST, library } as const;
  return (await available.works({ ...choice, ...isal })) ? isal : undefined;
}

/** @throws Qcow2cError ERR_USAGE when the engine does not have the level */
function refuseLevel(level: number, engine: EngineName, type: CompressionType): void {
  const [lowest, highest] = levelsOf(engine, type);
  if (Number.isInteger(level) && level >= lowest && level <= highest) return;
  throw usageError(`compression level ${level} is out of range for ${engine} (${lowest} to ${highest})`, {
    expected: `${lowest} to ${highest}`,
    found: level,
  });
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
