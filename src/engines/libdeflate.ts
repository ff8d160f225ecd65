/**
 * The engine libdeflate: raw deflate (RFC 1951) through the system's shared library, for the workers.
 * It compresses and inflates a whole cluster in one call and always uses a window of 32 KiB.
 */
import type { BlockInflater, Compressor } from './codec.js';
import { NativeContext } from './native-context.js';
import type { NativeFunction, NativeLibrary } from './native-library.js';

/** A symbol that every libdeflate has. */
export const LIBDEFLATE_SYMBOL = 'libdeflate_deflate_compress';

/** enum libdeflate_result of libdeflate.h. */
const SUCCESS = 0;

export class LibdeflateCompressor implements Compressor {
  readonly #context: NativeContext;
  readonly #compress: NativeFunction;

  /**
   * @param level 1 to 12, checked when the engine is chosen @throws Qcow2cError ERR_ENGINE when the library refuses (no
   *   memory)
   */
  constructor(library: NativeLibrary, level: number) {
    this.#compress = library.func(LIBDEFLATE_SYMBOL, 'size_t', [
      'void *',
      'const void *',
      'size_t',
      'void *',
      'size_t',
    ]);
    const alloc = library.func('libdeflate_alloc_compressor', 'void *', ['int']);
    const refusal = `libdeflate gave no compressor of level ${level}`;
    this.#context = new NativeContext(library, 'libdeflate_free_compressor', () => alloc(level), refusal);
  }

  compress(input: Uint8Array, output: Uint8Array): number {
    // libdeflate returns 0 if the result does not fit; it has no other failure.
    return this.#compress(this.#context.pointer, input, input.length, output, output.length) as number;
  }

  free(): void {
    this.#context.free();
  }
}

/** Accepts more streams than zlib and QEMU: see `DeflateDecompressor`. */
export class LibdeflateInflater implements BlockInflater {
  readonly #context: NativeContext;
  readonly #decompress: NativeFunction;
  /** One size_t each, filled by libdeflate. */
  readonly #taken = new BigUint64Array(1);
  readonly #made = new BigUint64Array(1);

  /** @throws Qcow2cError ERR_ENGINE when the library refuses (no memory) */
  constructor(library: NativeLibrary) {
    this.#decompress = library.func('libdeflate_deflate_decompress_ex', 'int', [
      'void *',
      'const void *',
      'size_t',
      'void *',
      'size_t',
      'size_t *',
      'size_t *',
    ]);
    const alloc = library.func('libdeflate_alloc_decompressor', 'void *', []);
    const refusal = 'libdeflate gave no decompressor';
    this.#context = new NativeContext(library, 'libdeflate_free_decompressor', alloc, refusal);
  }

  inflate(input: Uint8Array, output: Uint8Array): number | undefined {
    // Without a pointer for the output length, libdeflate requires exactly output.length bytes.
    return this.#isTaken(input, output, null) ? Number(this.#taken[0]) : undefined;
  }

  inflateStream(input: Uint8Array, output: Uint8Array) {
    if (!this.#isTaken(input, output, this.#made)) return undefined;
    return { taken: Number(this.#taken[0]), made: Number(this.#made[0]) };
  }

  #isTaken(input: Uint8Array, output: Uint8Array, made: BigUint64Array | null): boolean {
    const { pointer } = this.#context;
    return (
      this.#decompress(pointer, input, input.length, output, output.length, this.#taken, made) === SUCCESS
    );
  }

  free(): void {
    this.#context.free();
  }
}
