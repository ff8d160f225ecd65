/**
 * The engine libzstd: makes one plain zstd frame a cluster through the system's shared library, for the workers. One
 * context serves all clusters and levels; its output does not depend on earlier clusters (tested).
 */
import { Qcow2cError } from '../errors.js';
import type { Compressor, Decompressor } from './codec.js';
import { CorruptPayload } from './corrupt-payload.js';
import { NativeContext } from './native-context.js';
import type { NativeFunction, NativeLibrary } from './native-library.js';
import { FEWER_BYTES, frameKind } from './zstd-frame.js';
import { salvageFrames } from './zstd-salvage.js';

/** A symbol that every libzstd has had since 1.4.0, the first with the parameters used here. */
export const LIBZSTD_SYMBOL = 'ZSTD_compress2';

/** ZSTD_cParameter of zstd.h. */
const PARAMETER_COMPRESSION_LEVEL = 100;
const PARAMETER_HASH_LOG = 102;
const PARAMETER_CHAIN_LOG = 103;

/** The first level whose strategy turns the block splitter on, for clusters of every size. */
const FIRST_SPLITTING_LEVEL = 13;

/** -ZSTD_error_dstSize_tooSmall; zstd_errors.h promises that the values of its codes stay. */
const DOES_NOT_FIT = -70;
/** -ZSTD_error_memory_allocation. */
const NO_MEMORY = -64;

/** ZSTD_reset_session_only of zstd.h. */
const RESET_SESSION = 1;

/** Functions return a size_t whose top values are negated error codes: read as signed, these are negative. */
const SIZE_OR_ERROR = 'intptr_t';

export class LibzstdCompressor implements Compressor {
  readonly #context: NativeContext;
  readonly #compress: NativeFunction;
  readonly #setParameter: NativeFunction;
  readonly #errorName: NativeFunction;
  readonly #level: number;
  #levelOfContext: number | undefined;

  /**
   * @param level 1 to 19, checked when the engine is chosen
   * @param tableLog log2 of the entries of the search tables, which libzstd limits to what the window can use; default:
   *   the level's
   * @throws Qcow2cError ERR_ENGINE if the library refuses
   */
  constructor(library: NativeLibrary, level: number, tableLog?: number) {
    this.#errorName = errorNames(library);
    this.#compress = library.func(LIBZSTD_SYMBOL, SIZE_OR_ERROR, [
      'void *',
      'void *',
      'size_t',
      'const void *',
      'size_t',
    ]);
    this.#setParameter = library.func('ZSTD_CCtx_setParameter', SIZE_OR_ERROR, ['void *', 'int', 'int']);
    const create = library.func('ZSTD_createCCtx', 'void *', []);
    this.#context = new NativeContext(
      library,
      'ZSTD_freeCCtx',
      create,
      'libzstd gave no compression context',
    );
    this.#level = level;
    if (tableLog === undefined) return;
    this.#set(PARAMETER_HASH_LOG, tableLog);
    this.#set(PARAMETER_CHAIN_LOG, tableLog);
  }

  compress(input: Uint8Array, output: Uint8Array): number {
    return this.#compressAt(this.#level, input, output);
  }

  /**
   * @returns a compressor of another level in the same context: the tables of several contexts do not fit into the
   *   processor's cache together. Ends with this one
   */
  atLevel(level: number): Compressor {
    return { compress: (input, output) => this.#compressAt(level, input, output), free: () => {} };
  }

  #compressAt(level: number, input: Uint8Array, output: Uint8Array): number {
    if (level !== this.#levelOfContext) this.#set(PARAMETER_COMPRESSION_LEVEL, level);
    this.#levelOfContext = level;
    const result = this.#compress(
      this.#context.pointer,
      output,
      output.length,
      input,
      input.length,
    ) as number;
    if (result >= 0) return result;
    if (result === DOES_NOT_FIT) return 0;
    throw this.#failure(result);
  }

  #set(parameter: number, value: number): void {
    const result = this.#setParameter(this.#context.pointer, parameter, value) as number;
    if (result < 0) throw this.#failure(result);
  }

  free(): void {
    this.#context.free();
  }

  #failure(result: number): Qcow2cError {
    return new Qcow2cError('ERR_ENGINE', `libzstd failed: ${this.#errorName(result)}`);
  }
}

/**
 * Reads payloads in the steps of QEMU (block/qcow2-threads.c, qcow2_zstd_decompress): frame by frame as a stream, until
 * the cluster is full. The streaming API refuses windows that the API for whole frames accepts.
 */
export class LibzstdDecompressor implements Decompressor {
  readonly #context: NativeContext;
  readonly #decompressStream: NativeFunction;
  readonly #decompressFrame: NativeFunction;
  readonly #reset: NativeFunction;
  readonly #errorName: NativeFunction;
  /** Two size_t that libzstd advances: bytes written, bytes read. */
  readonly #made = new BigUint64Array(1);
  readonly #taken = new BigUint64Array(1);

  /** @throws Qcow2cError ERR_ENGINE when the library refuses (no memory) */
  constructor(library: NativeLibrary) {
    this.#errorName = errorNames(library);
    // ZSTD_decompressStream for callers without structures that contain pointers.
    this.#decompressStream = library.func('ZSTD_decompressStream_simpleArgs', SIZE_OR_ERROR, [
      'void *',
      'void *',
      'size_t',
      'size_t *',
      'const void *',
      'size_t',
      'size_t *',
    ]);
    this.#decompressFrame = library.func('ZSTD_decompressDCtx', SIZE_OR_ERROR, [
      'void *',
      'void *',
      'size_t',
      'const void *',
      'size_t',
    ]);
    this.#reset = library.func('ZSTD_DCtx_reset', SIZE_OR_ERROR, ['void *', 'int']);
    const create = library.func('ZSTD_createDCtx', 'void *', []);
    this.#context = new NativeContext(
      library,
      'ZSTD_freeDCtx',
      create,
      'libzstd gave no decompression context',
    );
  }

  decompress(input: Uint8Array, output: Uint8Array): number {
    const { pointer } = this.#context;
    this.#reset(pointer, RESET_SESSION);
    this.#made[0] = 0n;
    this.#taken[0] = 0n;
    let isOfRfc8878 = true;
    let frameAt = 0;
    for (;;) {
      const before: bigint = (this.#made[0] as bigint) + (this.#taken[0] as bigint);
      const left = this.#decompressStream(
        pointer,
        output,
        output.length,
        this.#made,
        input,
        input.length,
        this.#taken,
      ) as number;
      if (left < 0) throw this.#failure(left, input, frameAt);
      const made = Number(this.#made[0]);
      const taken = Number(this.#taken[0]);
      if (left === 0) {
        // 0: the frame has ended.
        if (frameKind(input, frameAt) === 'none') isOfRfc8878 = false;
        frameAt = taken;
      }
      if (made === output.length) {
        if (left > 0) throw new CorruptPayload('the zstd frame yields more bytes than a cluster');
        if (isOfRfc8878) return taken;
        // A library may be built with support for zstd's old formats. Others lack it.
        throw new CorruptPayload('a zstd frame is of an old format', { isReadable: true });
      }
      // Nothing read and nothing written: the input has ended.
      if (this.#made[0] + this.#taken[0] === before) {
        const isBetweenFrames = frameAt === input.length && frameAt > 0;
        throw new CorruptPayload(isBetweenFrames ? FEWER_BYTES : 'the zstd frame is cut off');
      }
    }
  }

  salvage(input: Uint8Array, output: Uint8Array): number {
    return salvageFrames(input, output, (frame, room) => {
      const made = this.#decompressFrame(
        this.#context.pointer,
        room,
        room.length,
        frame,
        frame.length,
      ) as number;
      return made < 0 ? undefined : made;
    });
  }

  free(): void {
    this.#context.free();
  }

  #failure(result: number, input: Uint8Array, frameAt: number): Qcow2cError {
    if (result === NO_MEMORY) return new Qcow2cError('ERR_ENGINE', 'libzstd failed: there is no memory');
    // The bytes after a payload are usually not a frame.
    if (frameAt > 0 && frameKind(input, frameAt) === 'none') return new CorruptPayload(FEWER_BYTES);
    return new CorruptPayload(`zstd: ${this.#errorName(result)}`);
  }
}

/** @returns the library's version, such as 1.5.4 */
export function libzstdVersion(library: NativeLibrary): string {
  return library.func('ZSTD_versionString', 'const char *', [])() as string;
}

function errorNames(library: NativeLibrary): NativeFunction {
  return library.func('ZSTD_getErrorName', 'const char *', [SIZE_OR_ERROR]);
}

/**
 * Whether this zstd may corrupt data at this level, rarely: the block splitter of 1.5.0 to 1.5.4, used from level 13
 * on, confuses a literal length of 65536 with 0 (fixed in 1.5.5). A distribution may have fixed an older version
 * without changing its number.
 */
export function mayCorrupt(version: string | undefined, level: number): boolean {
  return level >= FIRST_SPLITTING_LEVEL && /^1\.5\.[0-4]$/.test(version ?? '');
}
