/**
 * The engine libzstd: one plain zstd frame a cluster through the system's shared library, for the workers.
 * A context is made once and serves all clusters; what it did before never shows in its output (tested).
 */
import { Qcow2cError } from '../errors.js';
import type { Compressor, Decompressor } from './codec.js';
import { CorruptPayload } from './corrupt-payload.js';
import { NativeContext } from './native-context.js';
import type { NativeFunction, NativeLibrary } from './native-library.js';

/** A symbol that every libzstd has had since 1.4.0, the first with the parameters used here. */
export const LIBZSTD_SYMBOL = 'ZSTD_compress2';

/** ZSTD_cParameter of zstd.h. */
const PARAMETER_COMPRESSION_LEVEL = 100;
const PARAMETER_HASH_LOG = 102;

/** -ZSTD_error_dstSize_tooSmall; zstd_errors.h promises that the values of its codes stay. */
const DOES_NOT_FIT = -70;

/** Functions return a size_t whose top values are negated error codes: read as signed, these are negative. */
const SIZE_OR_ERROR = 'intptr_t';

export class LibzstdCompressor implements Compressor {
  readonly #context: NativeContext;
  readonly #compress: NativeFunction;
  readonly #errorName: NativeFunction;

  /**
   * @param level 1 to 19, checked where the engine is chosen
   * @param hashLog log2 of the entries of the hash table; undefined: as the level has it
   * @throws Qcow2cError ERR_ENGINE when the library refuses
   */
  constructor(library: NativeLibrary, level: number, hashLog?: number) {
    this.#errorName = errorNames(library);
    this.#compress = library.func(LIBZSTD_SYMBOL, SIZE_OR_ERROR, [
      'void *',
      'void *',
      'size_t',
      'const void *',
      'size_t',
    ]);
    const setParameter = library.func('ZSTD_CCtx_setParameter', SIZE_OR_ERROR, ['void *', 'int', 'int']);
    const create = library.func('ZSTD_createCCtx', 'void *', []);
    this.#context = new NativeContext(
      library,
      'ZSTD_freeCCtx',
      create,
      'libzstd gave no compression context',
    );
    const { pointer } = this.#context;
    const set = (parameter: number, value: number) => {
      const result = setParameter(pointer, parameter, value) as number;
      if (result < 0) throw this.#failure(result);
    };
    set(PARAMETER_COMPRESSION_LEVEL, level);
    if (hashLog !== undefined) set(PARAMETER_HASH_LOG, hashLog);
  }

  compress(input: Uint8Array, output: Uint8Array): number {
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

  free(): void {
    this.#context.free();
  }

  #failure(result: number): Qcow2cError {
    return new Qcow2cError('ERR_ENGINE', `libzstd failed: ${this.#errorName(result)}`);
  }
}

export class LibzstdDecompressor implements Decompressor {
  readonly #context: NativeContext;
  readonly #frameSize: NativeFunction;
  readonly #decompress: NativeFunction;
  readonly #errorName: NativeFunction;

  /** @throws Qcow2cError ERR_ENGINE when the library refuses (no memory) */
  constructor(library: NativeLibrary) {
    this.#errorName = errorNames(library);
    this.#frameSize = library.func('ZSTD_findFrameCompressedSize', SIZE_OR_ERROR, ['const void *', 'size_t']);
    this.#decompress = library.func('ZSTD_decompressDCtx', SIZE_OR_ERROR, [
      'void *',
      'void *',
      'size_t',
      'const void *',
      'size_t',
    ]);
    this.#context = decompressionContext(library);
  }

  decompress(input: Uint8Array, output: Uint8Array): number {
    // ZSTD_decompressDCtx takes whole frames only, so what follows the first is cut off beforehand.
    const frameSize = this.#frameSize(input, input.length) as number;
    if (frameSize < 0) throw new CorruptPayload(`zstd: ${this.#errorName(frameSize)}`);
    const result = this.#decompress(this.#context.pointer, output, output.length, input, frameSize) as number;
    if (result === DOES_NOT_FIT) throw new CorruptPayload('the zstd frame yields more bytes than a cluster');
    if (result < 0) throw new CorruptPayload(`zstd: ${this.#errorName(result)}`);
    if (result < output.length) throw new CorruptPayload('the zstd frame yields fewer bytes than a cluster');
    return frameSize;
  }

  free(): void {
    this.#context.free();
  }
}

/** @throws Qcow2cError ERR_ENGINE when the library refuses (no memory) */
export function decompressionContext(library: NativeLibrary): NativeContext {
  const create = library.func('ZSTD_createDCtx', 'void *', []);
  return new NativeContext(library, 'ZSTD_freeDCtx', create, 'libzstd gave no decompression context');
}

/** @returns the library's version, such as 1.5.4 */
export function libzstdVersion(library: NativeLibrary): string {
  return library.func('ZSTD_versionString', 'const char *', [])() as string;
}

function errorNames(library: NativeLibrary): NativeFunction {
  return library.func('ZSTD_getErrorName', 'const char *', [SIZE_OR_ERROR]);
}
