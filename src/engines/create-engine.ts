/** Makes compressors and decompressors, in the worker that uses them. */
import type { CompressionType } from '../compression-type.js';
import type { Qcow2cError } from '../errors.js';
import { BlockwiseInflater } from './blockwise-inflater.js';
import { CheckedCompressor } from './checked-compressor.js';
import type {
  Compressor,
  CompressorChoice,
  Decompressor,
  EngineLevel,
  EngineName,
  InflatingEngine,
} from './codec.js';
import { levelsOf } from './default-levels.js';
import { DeflateDecompressor } from './deflate-decompressor.js';
import { findLibrary, loadLibrary, missingLibrary } from './installed-libraries.js';
import { IsalCompressor } from './isal.js';
import { LevelByContent } from './level-by-content.js';
import { LibdeflateCompressor, LibdeflateInflater } from './libdeflate.js';
import { LibzstdCompressor, LibzstdDecompressor } from './libzstd.js';
import type { NativeLibrary } from './native-library.js';
import { NodeZlibCompressor, NodeZlibInflater } from './node-zlib.js';
import { hasNodeZstd, NodeZstdCompressor, NodeZstdDecompressor } from './node-zstd.js';

/** The engines that compress and inflate a type, the fastest first. */
export const ENGINES = { zlib: ['libdeflate', 'node'], zstd: ['libzstd', 'node'] } as const;

/**
 * Makes the compressor that was chosen.
 * @throws Qcow2cError ERR_ENGINE if a library has been removed since, or refuses
 */
export async function createCompressor(choice: CompressorChoice): Promise<Compressor> {
  const { type, level, byContent, windowBits, checks } = choice;
  const made: (Compressor | Decompressor)[] = [];
  const make = <Engine extends Compressor | Decompressor>(engine: Engine): Engine => {
    made.push(engine);
    return engine;
  };
  try {
    const compressors: Compressor[] = [];
    let libzstd: LibzstdCompressor | undefined;
    for (const each of byContent ?? [choice]) {
      const compressor =
        libzstd?.atLevel(each.level) ?? make(compressorOf(each, await nativeOf(each), type, windowBits));
      if (compressor instanceof LibzstdCompressor) libzstd = compressor;
      compressors.push(compressor);
    }
    const [only] = compressors as [Compressor];
    const compressor = byContent === undefined ? only : new LevelByContent(type, compressors);
    if (!checks) return compressor;
    const native = await nativeOf(choice);
    const lower = LOWER_LEVELS.filter((each) => each < level).map(
      (each) => () => compressorOf({ ...choice, level: each }, native, type, windowBits),
    );
    return new CheckedCompressor(compressor, lower, make(await createDecompressor(decompressorFor(choice))));
  } catch (error) {
    for (const engine of made) engine.free();
    throw error;
  }
}

/** @returns the library of a native engine */
async function nativeOf({ engine, library }: EngineLevel): Promise<NativeLibrary | undefined> {
  return engine === 'node' ? undefined : loadLibrary(engine, library);
}

/** What is tried instead of a level that has compressed a cluster wrongly. 12 is below the levels that split blocks. */
const LOWER_LEVELS = [12, 6, 1];

/** @param native the library of a native engine */
function compressorOf(
  { engine, level, tableLog }: EngineLevel,
  native: NativeLibrary | undefined,
  type: CompressionType,
  windowBits: 12 | 15,
): Compressor {
  if (native === undefined) {
    return type === 'zlib' ? new NodeZlibCompressor(level, windowBits) : new NodeZstdCompressor(level);
  }
  if (engine === 'libzstd') return new LibzstdCompressor(native, level, tableLog);
  return engine === 'isal' ? new IsalCompressor(native, level) : new LibdeflateCompressor(native, level);
}

/** What inflates what a choice has compressed: of Node.js where that is what compresses. */
export function decompressorFor({ type, engine }: CompressorChoice): DecompressorRequest {
  return { type, engine: engine === 'node' ? 'node' : undefined };
}

/** @returns whether Node.js alone inflates the type, so that nothing native needs to be loaded */
export function nodeInflates(type: CompressionType): boolean {
  return type === 'zlib' || hasNodeZstd();
}

interface DecompressorRequest {
  readonly type: CompressionType;
  /** Default: the fastest there is. */
  readonly engine?: InflatingEngine | undefined;
}

/**
 * Makes a decompressor.
 * @throws Qcow2cError ERR_ENGINE without an engine for the type, ERR_USAGE when the engine does not support it
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

/** @param engine the one that was asked for @returns an error that says what to install */
export function missingEngine(type: CompressionType, engine: EngineName | undefined): Qcow2cError {
  if (engine !== undefined && engine !== 'node') {
    return missingLibrary(`Engine ${engine} is not installed or does not work`, engine);
  }
  const what = engine === 'node' ? 'This Node.js has no zstd' : `No engine for ${type} is installed or works`;
  return missingLibrary(what, type === 'zlib' ? 'libdeflate' : 'libzstd');
}
