/**
 * The engine libdeflate: raw deflate (RFC 1951) through the system's shared library, for the workers.
 * It compresses and inflates a whole cluster in one call and always uses a window of 32 KiB.
 */
import { Qcow2cError } from '../errors.js';
import type { Compressor, Decompressor } from './codec.js';
import { CorruptPayload } from './corrupt-payload.js';
import type { NativeFunction, NativeLibrary } from './native-library.js';

/** A symbol that every libdeflate has. */
export const LIBDEFLATE_SYMBOL = 'libdeflate_deflate_compress';

/** enum libdeflate_result of libdeflate.h. */
const SUCCESS = 0;
const REASONS: Readonly<Record<number, string>> = {
  1: 'the deflate stream is broken',
  2: 'the deflate stream yields fewer bytes than a cluster',
  3: 'the deflate stream yields more bytes than a cluster',
};

export class LibdeflateCompressor implements Compressor {
  readonly #context: unknown;
  readonly #compress: NativeFunction;
  readonly #free: NativeFunction;
  readonly #library: NativeLibrary;

  /**
   * @param level 1 to 12, checked where the engine is chosen
   * @throws Qcow2cError ERR_ENGINE when the library refuses (no memory)
   */
  constructor(library: NativeLibrary, level: number) {
    this.#library = library;
    this.#compress = library.func(LIBDEFLATE_SYMBOL, 'size_t', [
      'void *',
      'const void *',
      'size_t',
      'void *',
      'size_t',
    ]);
    this.#free = library.func('libdeflate_free_compressor', 'void', ['void *']);
    this.#context = library.func('libdeflate_alloc_compressor', 'void *', ['int'])(level);
    if (this.#context === null) {
      throw new Qcow2cError('ERR_ENGINE', `libdeflate gave no compressor of level ${level}`);
    }
  }

  compress(input: Uint8Array, output: Uint8Array): number {
    // 0 is libdeflate's own answer when the result does not fit; it has no other failure.
    return this.#compress(this.#context, input, input.length, output, output.length) as number;
  }

  free(): void {
    this.#free(this.#context);
  }

  freeWithThread(): void {
    this.#library.callAtThreadEnd('libdeflate_free_compressor', this.#context);
  }
}

export class LibdeflateDecompressor implements Decompressor {
  readonly #context: unknown;
  readonly #decompress: NativeFunction;
  readonly #free: NativeFunction;
  readonly #library: NativeLibrary;
  /** A size_t that libdeflate fills. */
  readonly #taken = new BigUint64Array(1);

  /** @throws Qcow2cError ERR_ENGINE when the library refuses (no memory) */
  constructor(library: NativeLibrary) {
    this.#library = library;
    this.#decompress = library.func('libdeflate_deflate_decompress_ex', 'int', [
      'void *',
      'const void *',
      'size_t',
      'void *',
      'size_t',
      'size_t *',
      'size_t *',
    ]);
    this.#free = library.func('libdeflate_free_decompressor', 'void', ['void *']);
    this.#context = library.func('libdeflate_alloc_decompressor', 'void *', [])();
    if (this.#context === null) throw new Qcow2cError('ERR_ENGINE', 'libdeflate gave no decompressor');
  }

  decompress(input: Uint8Array, output: Uint8Array): number {
    // No place for the length of the output: then libdeflate itself insists on exactly output.length bytes.
    const result = this.#decompress(
      this.#context,
      input,
      input.length,
      output,
      output.length,
      this.#taken,
      null,
    ) as number;
    if (result !== SUCCESS) throw new CorruptPayload(REASONS[result] ?? `libdeflate answered ${result}`);
    return Number(this.#taken[0]);
  }

  free(): void {
    this.#free(this.#context);
  }

  freeWithThread(): void {
    this.#library.callAtThreadEnd('libdeflate_free_decompressor', this.#context);
  }
}
