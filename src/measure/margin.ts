/**
 * How far an estimate may be off: the standard error of a stratified sample with one piece from each stratum, times
 * Student's t. One piece says nothing of how its stratum varies, so neighbouring strata are held against each
 * other; what they differ in as a whole counts too, which makes the margin rather too wide than too narrow.
 * docs/measure.md has the formulas (collapsed strata: W. G. Cochran, Sampling Techniques, section 5A.12).
 */

/** Percent. */
export const CONFIDENCE = 95;

/** Two-sided quantiles of Student's t for 1, 2, 3, ... degrees of freedom, and for any number of them. */
const T_QUANTILES = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
const NORMAL_QUANTILE = 1.96;

/** Takes the strata one after the other. */
export class MarginOfError {
  readonly #pieceSize: number;
  /** Pieces in all, and looked at; and what all of them come to by these. */
  #pieces = 0;
  #seen = 0;
  #total = 0;
  #last: { readonly value: number; readonly weight: number } | undefined;
  /** What the last pair of strata differs in, if there is a pair. */
  #difference: number | undefined;
  /** Of the strata before the last: their variances, and the squares of these. */
  #variance = 0;
  #squares = 0;

  /** @param pieceSize the highest value that a piece can have */
  constructor(pieceSize: number) {
    this.#pieceSize = pieceSize;
  }

  /**
   * @param pieces how many the stratum has
   * @param value of the one that was looked at
   */
  add(pieces: number, value: number): void {
    // A stratum that was looked at as a whole is known.
    const weight = pieces === 1 ? 0 : pieces ** 2;
    if (this.#last !== undefined) {
      const difference = (value - this.#last.value) ** 2 / 2;
      // A stratum's variance is the mean over its two pairs; the first has one only.
      this.#count(difference * (this.#last.weight * (this.#difference === undefined ? 1 : 0.5) + weight / 2));
      this.#difference = difference;
    }
    this.#last = { value, weight };
    this.#pieces += pieces;
    this.#seen += 1;
    this.#total += pieces * value;
  }

  /** @returns the margin around the estimated sum of all pieces */
  get margin(): number {
    return this.#seen === this.#pieces ? 0 : Math.max(this.#ofVariation(), this.#ofUnseen());
  }

  #ofVariation(): number {
    const end = ((this.#last?.weight ?? 0) / 2) * (this.#difference ?? 0);
    const variance = this.#variance + end;
    if (variance === 0) return 0;
    // Satterthwaite: 2/3 of the strata when all vary alike, few when a few of them are all that varies.
    const freedom = (2 * variance ** 2) / (this.#squares + end ** 2);
    return tQuantile(freedom) * Math.sqrt(variance);
  }

  /** So many pieces of another kind, hardly compressible or empty, a sample of this size can miss. */
  #ofUnseen(): number {
    const missed = Math.log(1 - CONFIDENCE / 100) / Math.log(1 - this.#seen / this.#pieces);
    const mean = this.#total / this.#pieces;
    return missed * Math.max(mean, this.#pieceSize - mean);
  }

  #count(part: number): void {
    this.#variance += part;
    this.#squares += part ** 2;
  }
}

/** @returns never less than the quantile of Student's t for `freedom` degrees of freedom */
export function tQuantile(freedom: number): number {
  const known = T_QUANTILES[Math.max(1, Math.floor(freedom)) - 1];
  if (known !== undefined) return known;
  // From there on it falls to the normal distribution's a little faster than 1/freedom.
  const last = T_QUANTILES.length;
  return NORMAL_QUANTILE + (((T_QUANTILES[last - 1] as number) - NORMAL_QUANTILE) * last) / freedom;
}
