/**
 * Inflates each payload and compares it with its cluster before use, for engines that may compress wrongly. A wrong
 * payload is compressed again at a lower level; if all levels are wrong, the cluster is stored uncompressed.
 */
import type { Compressor, Decompressor } from './codec.js';
import { CorruptPayload } from './corrupt-payload.js';

export class CheckedCompressor implements Compressor {
  readonly #compressors: Compressor[];
  /** Compressors not created yet, the highest level first. */
  readonly #lower: (() => Compressor)[];
  readonly #decompressor: Decompressor;
  #inflated: Uint8Array = new Uint8Array(0);
  #corrected = 0;

  /** @param lower functions that create compressors of lower levels, the highest first; they are freed with this one */
  constructor(compressor: Compressor, lower: readonly (() => Compressor)[], decompressor: Decompressor) {
    this.#compressors = [compressor];
    this.#lower = [...lower];
    this.#decompressor = decompressor;
  }

  get corrected(): number {
    return this.#corrected;
  }

  compress(input: Uint8Array, output: Uint8Array): number {
    for (let index = 0; ; index += 1) {
      const compressor = this.#compressors[index] ?? this.#makeNext();
      if (compressor === undefined) return 0;
      const size = compressor.compress(input, output);
      if (size === 0 || this.#isRight(input, output, size)) return size;
      if (index === 0) this.#corrected += 1;
    }
  }

  free(): void {
    for (const engine of [...this.#compressors, this.#decompressor]) engine.free();
  }

  #makeNext(): Compressor | undefined {
    const made = this.#lower.shift()?.();
    if (made !== undefined) this.#compressors.push(made);
    return made;
  }

  #isRight(input: Uint8Array, output: Uint8Array, size: number): boolean {
    if (size > output.length) return false;
    if (this.#inflated.length !== input.length) this.#inflated = new Uint8Array(input.length);
    try {
      const taken = this.#decompressor.decompress(output.subarray(0, size), this.#inflated);
      return taken === size && Buffer.compare(this.#inflated, input) === 0;
    } catch (error) {
      if (error instanceof CorruptPayload) return false;
      throw error;
    }
  }
}
