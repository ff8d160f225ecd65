/**
 * Inflates zstd frames through the system's libzstd as QEMU does, as a stream: that refuses frames which the call
 * for whole frames takes (windows too small for their blocks, or too large). For those who judge payloads.
 */
import type { Decompressor } from './codec.js';
import { CorruptPayload } from './corrupt-payload.js';
import { decompressionContext } from './libzstd.js';
import type { NativeContext } from './native-context.js';
import type { NativeFunction, NativeLibrary } from './native-library.js';

/** Functions return a size_t whose top values are negated error codes: read as signed, these are negative. */
const SIZE_OR_ERROR = 'intptr_t';
/** ZSTD_reset_session_only of zstd.h. */
const RESET_SESSION = 1;

export class LibzstdStreamDecompressor implements Decompressor {
  readonly #context: NativeContext;
  readonly #decompress: NativeFunction;
  readonly #reset: NativeFunction;
  readonly #errorName: NativeFunction;
  /** Two size_t that libzstd moves on: bytes made, bytes taken. */
  readonly #made = new BigUint64Array(1);
  readonly #taken = new BigUint64Array(1);

  /** @throws Qcow2cError ERR_ENGINE when the library refuses (no memory) */
  constructor(library: NativeLibrary) {
    // ZSTD_decompressStream for callers who have no structures with pointers in them.
    this.#decompress = library.func('ZSTD_decompressStream_simpleArgs', SIZE_OR_ERROR, [
      'void *',
      'void *',
      'size_t',
      'size_t *',
      'const void *',
      'size_t',
      'size_t *',
    ]);
    this.#reset = library.func('ZSTD_DCtx_reset', SIZE_OR_ERROR, ['void *', 'int']);
    this.#errorName = library.func('ZSTD_getErrorName', 'const char *', [SIZE_OR_ERROR]);
    this.#context = decompressionContext(library);
  }

  decompress(input: Uint8Array, output: Uint8Array): number {
    this.#reset(this.#context.pointer, RESET_SESSION);
    this.#made[0] = 0n;
    this.#taken[0] = 0n;
    // 0: the frame has ended. A call that neither takes nor makes anything has no more to give.
    for (let before = -1n; ; ) {
      const left = this.#decompress(
        this.#context.pointer,
        output,
        output.length,
        this.#made,
        input,
        input.length,
        this.#taken,
      ) as number;
      if (left < 0) throw new CorruptPayload(`zstd: ${this.#errorName(left)}`);
      const [made = 0n] = this.#made;
      const [taken = 0n] = this.#taken;
      if (left === 0) {
        if (Number(made) === output.length) return Number(taken);
        throw new CorruptPayload('the zstd frame yields fewer bytes than a cluster');
      }
      if (made + taken === before) {
        const isFull = Number(made) === output.length;
        throw new CorruptPayload(
          isFull ? 'the zstd frame yields more bytes than a cluster' : 'the zstd frame is cut off',
        );
      }
      before = made + taken;
    }
  }

  free(): void {
    this.#context.free();
  }
}
