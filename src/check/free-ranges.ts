/**
 * Finds unused ranges of an image file from the references that an analysis counts. Used to write into an image that
 * must stay readable meanwhile, and to free space afterwards.
 */
import { roundUp } from '../arithmetic.js';
import type { FreeRange } from '../qcow2/free-range.js';
import type { ReferenceCounters } from './reference-counters.js';

export class FreeRangeFinder {
  /** The ranges found so far, in ascending order. */
  readonly ranges: FreeRange[] = [];
  readonly #clusterSize: number;
  readonly #unit: number;
  readonly #least: number;
  /** End of the last cluster with references, in bytes. */
  #usedEnd: number;

  /**
   * @param unit ranges begin and end at multiples of this many bytes, a multiple of the cluster size
   * @param least bytes of the shortest range
   */
  constructor(clusterSize: number, unit: number, least: number) {
    this.#clusterSize = clusterSize;
    this.#unit = unit;
    this.#least = least;
    // The first unit holds the header.
    this.#usedEnd = unit;
  }

  /** Reads the present window of the counters; windows come in ascending order. */
  add({ counts, first, end }: ReferenceCounters): void {
    for (let at = 0; at < end - first; at += 1) {
      if (counts[at] === 0) continue;
      const start = (first + at) * this.#clusterSize;
      this.#addRange(start - (start % this.#unit));
      this.#usedEnd = Math.max(this.#usedEnd, start + this.#clusterSize);
    }
  }

  /** End of the last range with references, in bytes, a multiple of the unit. */
  get end(): number {
    return roundUp(this.#usedEnd, this.#unit);
  }

  #addRange(to: number): void {
    const from = this.end;
    if (to - from >= this.#least) this.ranges.push({ from, to });
  }
}
