/** The ranges that one reply to a request for block status tells, cut to what is worth telling apart. */
import { roundDown, roundUp } from '../arithmetic.js';
import { SECTOR_SIZE } from '../sector.js';
import type { Extents } from './libnbd.js';

/** Consecutive ranges from `start` on, at least one. In bytes of the export. */
export interface StatusRanges {
  readonly start: number;
  /** Ends of the ranges, ascending, and their flags. */
  readonly ends: Float64Array;
  readonly flags: Float64Array;
  /** Extents that the server sent for them. */
  readonly extents: number;
}

/** Ranges of one reply, at most: a server may send any number. */
const MOST_RANGES = 65_536;

/** A range without an answer of the server. @param flags that it counts with */
export function unknownRange(start: number, end: number, flags: number): StatusRanges {
  return { start, ends: Float64Array.of(end), flags: Float64Array.of(flags), extents: 0 };
}

/**
 * Turns the extents of a reply into ranges. Neighbours with equal flags become one range. A sector with different flags
 * gets `unknown`, so that extents of single bytes do not become as many reads.
 * @param end of the request; what follows was requested already
 * @param unknown flags that a range may always count with: it holds data, or it has changed
 * @returns undefined if the extents cover nothing
 */
export function rangesOf(
  extents: Extents,
  start: number,
  end: number,
  unknown: number,
): StatusRanges | undefined {
  const ranges = new RangeList(start, unknown);
  let index = 0;
  for (; index + 1 < extents.length && ranges.end < end && ranges.count < MOST_RANGES; index += 2) {
    const length = Number(extents[index]);
    if (length > 0) ranges.add(Math.min(ranges.end + length, end), Number(extents[index + 1]));
  }
  if (ranges.end === start) return undefined;
  return { start, ...ranges.arrays(), extents: index / 2 };
}

class RangeList {
  readonly #start: number;
  readonly #unknown: number;
  readonly #ends: number[] = [];
  readonly #flags: number[] = [];

  constructor(start: number, unknown: number) {
    this.#start = start;
    this.#unknown = unknown;
  }

  get count(): number {
    return this.#ends.length;
  }

  get end(): number {
    return this.#ends.at(-1) ?? this.#start;
  }

  arrays() {
    return { ends: Float64Array.from(this.#ends), flags: Float64Array.from(this.#flags) };
  }

  /** Adds the range from the last end on. */
  add(end: number, flags: number): void {
    const from = this.end;
    if (flags !== this.#flags.at(-1) && from % SECTOR_SIZE !== 0 && from > this.#start) {
      this.#cut(roundDown(from, SECTOR_SIZE));
      this.#append(Math.min(roundUp(from, SECTOR_SIZE), end), this.#unknown);
    }
    if (end > this.end) this.#append(end, flags);
  }

  /** Ends the ranges at an offset inside the last sector. */
  #cut(offset: number): void {
    const end = Math.max(offset, this.#start);
    while (this.end > end) {
      const before = this.#ends.at(-2) ?? this.#start;
      if (before < end) this.#ends[this.#ends.length - 1] = end;
      else {
        this.#ends.pop();
        this.#flags.pop();
      }
    }
  }

  #append(end: number, flags: number): void {
    if (this.#flags.at(-1) === flags) this.#ends[this.#ends.length - 1] = end;
    else {
      this.#ends.push(end);
      this.#flags.push(flags);
    }
  }
}
