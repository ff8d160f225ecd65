/**
 * The portable engine for deflate: the zlib built into Node.js, for the workers. The only engine that can write a
 * window of 4 KiB (12 bits), as qemu-img does.
 */
import type { InflateRaw } from 'node:zlib';
import { zlib } from '../system/late-modules.js';
import type { Compressor, Inflater } from './codec.js';

/** Maximum memory for the hash chains, as in QEMU's block/qcow2-threads.c: faster and smaller than the default 8. */
const MEMORY_LEVEL = 9;

/** Readers take the largest window: a smaller one may refuse streams written with a larger one, never the reverse. */
const READING_WINDOW_BITS = 15;

/** Node.js refuses a smaller output buffer. */
const SMALLEST_BUFFER = 64;

export class NodeZlibCompressor implements Compressor {
  readonly #level: number;
  readonly #windowBits: 12 | 15;

  /** @param level 1 to 9, checked when the engine is chosen */
  constructor(level: number, windowBits: 12 | 15) {
    this.#level = level;
    this.#windowBits = windowBits;
  }

  compress(input: Uint8Array, output: Uint8Array): number {
    const compressed = zlib().deflateRawSync(input, {
      level: this.#level,
      windowBits: this.#windowBits,
      memLevel: MEMORY_LEVEL,
      // One byte more than fits, so that a fitting result arrives in one piece without a copy.
      chunkSize: Math.max(SMALLEST_BUFFER, output.length + 1),
    });
    if (compressed.length > output.length) return 0;
    output.set(compressed);
    return compressed.length;
  }

  free(): void {}
}

export class NodeZlibInflater implements Inflater {
  inflate(input: Uint8Array, output: Uint8Array): number | undefined {
    let inflated: { readonly buffer: Buffer; readonly engine: InflateRaw };
    try {
      inflated = zlib().inflateRawSync(input, {
        windowBits: READING_WINDOW_BITS,
        chunkSize: Math.max(SMALLEST_BUFFER, output.length + 1),
        // A stream that yields more is abandoned at once.
        maxOutputLength: output.length,
        // Also requests the engine, which knows the number of bytes read.
        info: true,
      }) as unknown as typeof inflated;
    } catch {
      return undefined;
    }
    const { buffer, engine } = inflated;
    if (buffer.length < output.length) return undefined;
    output.set(buffer);
    return engine.bytesWritten;
  }

  free(): void {}
}
