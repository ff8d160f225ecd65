/**
 * Selects the pieces of the data to compress for an estimate. The data in guest order is divided into strata with the
 * same number of pieces, give or take one. A fixed hash selects one piece of each stratum, so the sample is spread
 * evenly, follows no period of the data, and is the same for the same image.
 */

/** Minimum number of pieces in a sample: fewer would give no reliable margin. */
export const FEWEST_SAMPLES = 64;

export class Strata {
  /** Without a last piece that is a stratum of its own. */
  readonly #pieces: number;
  readonly #strata: number;
  readonly #seed: number;
  /** The number of strata: one for each piece of the sample. */
  readonly count: number;

  /**
   * @param pieces number of pieces in total
   * @param percent percentage to sample, above 0 and up to 100
   * @param options.lastAlone the last piece differs from the others and is a stratum of its own
   * @param options.seed tests select other samples with it
   */
  constructor(pieces: number, percent: number, options: { lastAlone: boolean; seed?: number | undefined }) {
    const { lastAlone, seed = 0 } = options;
    this.#pieces = lastAlone ? pieces - 1 : pieces;
    this.#seed = seed;
    const wanted = Math.max(Math.ceil((this.#pieces * percent) / 100), FEWEST_SAMPLES);
    this.#strata = Math.min(this.#pieces, wanted);
    this.count = lastAlone ? this.#strata + 1 : this.#strata;
  }

  /** The number of pieces in stratum `index`. */
  size(index: number): number {
    return index === this.#strata ? 1 : this.#start(index + 1) - this.#start(index);
  }

  /** The sampled piece of stratum `index`, counted from the first piece of the data. */
  chosen(index: number): number {
    if (index === this.#strata) return this.#pieces;
    const share = hash(hash(index) ^ hash(this.#seed)) / 2 ** 32;
    return this.#start(index) + Math.floor(share * this.size(index));
  }

  #start(index: number): number {
    return Math.floor((index * this.#pieces) / this.#strata);
  }
}

/** Mixes all 32 bits into all others (the finalizer of MurmurHash3). @returns 0 to 2^32 - 1 */
function hash(value: number): number {
  let mixed = (value ^ 0x9e3779b9) | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
