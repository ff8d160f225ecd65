/**
 * The margin of error of an estimate: the standard error of a stratified sample with one piece from each stratum, times
 * Student's t. One piece does not show the variance of its stratum, so neighbouring strata are compared. Differences
 * between whole strata count too, so the margin is too wide rather than too narrow (collapsed strata: W. G. Cochran,
 * Sampling Techniques, section 5A.12).
 */

/** Percent. */
export const CONFIDENCE = 95;

/** Two-sided quantiles of Student's t for 1, 2, 3, ... degrees of freedom, and for the normal distribution. */
const T_QUANTILES = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
const NORMAL_QUANTILE = 1.96;

/** Accumulates strata in order. */
export class MarginOfError {
  readonly #pieceSize: number;
  /** Number of pieces, number of sampled pieces, and the estimated sum of all pieces. */
  #pieces = 0;
  #seen = 0;
  #total = 0;
  #last: { readonly value: number; readonly weight: number } | undefined;
  /** Difference between the last two strata, if there are two. */
  #difference: number | undefined;
  /** Sums over the strata before the last: their variances, and the squares of these. */
  #variance = 0;
  #squares = 0;

  /** @param pieceSize maximum value of a piece */
  constructor(pieceSize: number) {
    this.#pieceSize = pieceSize;
  }

  /**
   * @param pieces number of pieces in the stratum
   * @param value value of the sampled piece
   */
  add(pieces: number, value: number): void {
    // A stratum of one piece is known exactly.
    const weight = pieces === 1 ? 0 : pieces ** 2;
    if (this.#last !== undefined) {
      const difference = (value - this.#last.value) ** 2 / 2;
      // A stratum's variance is the mean over its two pairs; the first stratum has only one.
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
    // Satterthwaite: 2/3 of the strata if all vary alike; few degrees of freedom if only a few strata vary.
    const freedom = (2 * variance ** 2) / (this.#squares + end ** 2);
    return tQuantile(freedom) * Math.sqrt(variance);
  }

  /** Number of pieces of another kind (incompressible or empty) that a sample of this size can miss. */
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
  // Beyond the table, it approaches the normal distribution's slightly faster than 1/freedom.
  const last = T_QUANTILES.length;
  return NORMAL_QUANTILE + (((T_QUANTILES[last - 1] as number) - NORMAL_QUANTILE) * last) / freedom;
}
