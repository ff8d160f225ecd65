/**
 * A set of numbers stored as sorted, disjoint, half-open ranges; adjacent ranges are merged. The cache keeps the
 * filled bytes of a host cluster in such a set, and the overlap guard the ranges of the tables. Most ranges come in
 * ascending order, so a range past the last one is found without a search.
 */
import { internalError } from '../errors.js';

export class SortedRanges {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  /** Number of ranges after merging. */
  get count(): number {
    return this.#starts.length;
  }

  /** The end of the last range; 0 for the empty set. */
  get end(): number {
    return this.#ends.at(-1) ?? 0;
  }

  /** Whether every number of [start, end) is in the set. */
  covers(start: number, end: number): boolean {
    if (start >= end) return true;
    const at = this.#firstEndingAfter(start);
    const from = this.#starts[at];
    const to = this.#ends[at];
    return from !== undefined && to !== undefined && from <= start && end <= to;
  }

  /** Whether any number of [start, end) is in the set. */
  intersects(start: number, end: number): boolean {
    const from = this.#starts[this.#firstEndingAfter(start)];
    return from !== undefined && from < end;
  }

  /**
   * Adds [start, end).
   * @throws Qcow2cError ERR_INTERNAL when part of it is in the set already: no byte is written twice
   */
  add(start: number, end: number): void {
    if (start >= end) return;
    const at = this.#firstEndingAfter(start);
    const next = this.#starts[at];
    if (next !== undefined && next < end) {
      throw internalError(`bytes ${start} to ${end} overlap a range that begins at ${next}`);
    }
    const touchesPrevious = at > 0 && this.#ends[at - 1] === start;
    const touchesNext = next === end;
    if (touchesPrevious && touchesNext) {
      this.#ends.splice(at - 1, 1);
      this.#starts.splice(at, 1);
    } else if (touchesPrevious) {
      this.#ends[at - 1] = end;
    } else if (touchesNext) {
      this.#starts[at] = start;
    } else {
      this.#starts.splice(at, 0, start);
      this.#ends.splice(at, 0, end);
    }
  }

  /** All ranges in order. */
  *ranges(): Generator<readonly [start: number, end: number]> {
    for (const [index, start] of this.#starts.entries()) yield [start, this.#ends[index] ?? start];
  }

  /** The parts of [0, end) that are not in the set, in order. */
  *gaps(end: number): Generator<readonly [start: number, end: number]> {
    let at = 0;
    for (const [index, start] of this.#starts.entries()) {
      if (start >= end) break;
      if (at < start) yield [at, start];
      at = this.#ends[index] ?? end;
    }
    if (at < end) yield [at, end];
  }

  /** Index of the first range whose end lies after `position`; the number of ranges if there is none. */
  #firstEndingAfter(position: number): number {
    if (position >= this.end) return this.#ends.length;
    let low = 0;
    let high = this.#ends.length - 1;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#ends[middle] ?? 0) > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
