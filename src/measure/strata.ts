/**
 * Which pieces of the data are compressed for an estimate: the data in guest order is divided into strata of the
 * same number of pieces, give or take one, and of each one piece is taken, somewhere in it. So the sample is spread
 * evenly and in step with nothing. Where is decided by a fixed hash: the same image gives the same sample.
 */

/** So many pieces at least, or all: fewer would say little of the margin. */
export const FEWEST_SAMPLES = 64;

export class Strata {
  /** Without one that is a stratum by itself. */
  readonly #pieces: number;
  readonly #strata: number;
  readonly #seed: number;
  /** How many there are: one for each piece of the sample. */
  readonly count: number;

  /**
   * @param pieces all that there are
   * @param percent of them to be taken, above 0 and up to 100
   * @param options.lastAlone the last piece is like no other, and a stratum by itself
   * @param options.seed tests have other samples with others
   */
  constructor(pieces: number, percent: number, options: { lastAlone: boolean; seed?: number | undefined }) {
    const { lastAlone, seed = 0 } = options;
    this.#pieces = lastAlone ? pieces - 1 : pieces;
    this.#seed = seed;
    const wanted = Math.max(Math.ceil((this.#pieces * percent) / 100), FEWEST_SAMPLES);
    this.#strata = Math.min(this.#pieces, wanted);
    this.count = lastAlone ? this.#strata + 1 : this.#strata;
  }

  /** How many pieces stratum `index` has. */
  size(index: number): number {
    return index === this.#strata ? 1 : this.#start(index + 1) - this.#start(index);
  }

  /** Which piece of stratum `index` is taken, counted from the first piece of all. */
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
