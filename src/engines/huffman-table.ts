/**
 * A table that maps the next bits of a deflate stream to a symbol. RFC 1951, section 3.2.2. Used to decode symbol by
 * symbol.
 */

/** Bits of the longest code. */
const MOST_BITS = 15;

/** Low bits of an entry: the length of its code. */
export const CODE_LENGTH_MASK = 15;

/** The entry of bits that match no code. */
export const NO_CODE = 0;

/**
 * How complete a code is. `single`: one code of one bit. `empty`: no code at all. zlib accepts these two for lengths
 * and distances (inftrees.c), and refuses `incomplete` and `oversubscribed`.
 */
type Completeness = 'complete' | 'single' | 'empty' | 'incomplete' | 'oversubscribed';

/**
 * @param lengths holds the code length of each symbol in bits, 0 for a symbol without a code, 15 at most
 * @param from index of the first symbol's length
 * @param count of symbols
 */
export function completenessOf(lengths: Uint8Array, from: number, count: number): Completeness {
  // In units of the longest code: 2^15 in total.
  let used = 0;
  let codes = 0;
  for (let at = from; at < from + count; at += 1) {
    const length = lengths[at] as number;
    if (length !== 0) {
      codes += 1;
      used += 1 << (MOST_BITS - length);
    }
  }
  if (used === 1 << MOST_BITS) return 'complete';
  if (used > 1 << MOST_BITS) return 'oversubscribed';
  if (codes === 0) return 'empty';
  return codes === 1 && used === 1 << (MOST_BITS - 1) ? 'single' : 'incomplete';
}

/**
 * @param lengths of a complete code, from the first symbol on
 * @param count of symbols
 * @returns the code of a symbol that has one, its first bit highest
 */
export function codeOf(symbol: number, lengths: Uint8Array, count: number): number {
  const length = lengths[symbol] as number;
  // Shorter codes come first, in units of this one's length; codes of equal length are ordered by symbol.
  let code = 0;
  for (let other = 0; other < count; other += 1) {
    const otherLength = lengths[other] as number;
    if (otherLength === 0 || otherLength > length) continue;
    if (otherLength < length) code += 1 << (length - otherLength);
    else if (other < symbol) code += 1;
  }
  return code;
}

export class HuffmanTable {
  /** Indexed by the next bits of the stream, the first one lowest: the symbol's meaning with the length of its code. */
  readonly entries: Int32Array;
  /** Mask of the index bits. */
  mask = 0;
  readonly #meanings: Int32Array;
  /** Number of codes of each length. */
  readonly #counts = new Uint16Array(MOST_BITS + 1);
  /** Start of the symbols of each length in `#sorted`. */
  readonly #starts = new Uint16Array(MOST_BITS + 1);
  /** The symbols with codes, in the order of their codes. */
  readonly #sorted: Uint16Array;

  /**
   * @param meanings of each symbol: its entry without the length, whose bits are 0
   * @param mostBits of a code, at most 15
   */
  constructor(meanings: Int32Array, mostBits: number) {
    this.#meanings = meanings;
    this.#sorted = new Uint16Array(meanings.length);
    this.entries = new Int32Array(2 ** mostBits);
  }

  /**
   * Fills the table for a canonical code that is not oversubscribed. Bits that match no code get the entry NO_CODE.
   * @param lengths, from, count as for `completenessOf`; at most as many symbols as there are meanings
   */
  build(lengths: Uint8Array, from: number, count: number): void {
    const counts = this.#counts.fill(0);
    for (let at = from; at < from + count; at += 1) {
      const length = lengths[at] as number;
      counts[length] = (counts[length] as number) + 1;
    }
    let longest = MOST_BITS;
    while (longest > 1 && counts[longest] === 0) longest -= 1;
    this.#sort(lengths, from, count);
    this.#fill(longest);
  }

  /** Assigns both values of the bit to a single code of one bit, as libdeflate does. */
  completeSingle(): void {
    this.entries[1] = this.entries[0] as number;
  }

  #sort(lengths: Uint8Array, from: number, count: number): void {
    const starts = this.#starts;
    for (let length = 1, start = 0; length <= MOST_BITS; length += 1) {
      starts[length] = start;
      start += this.#counts[length] ?? 0;
    }
    for (let symbol = 0; symbol < count; symbol += 1) {
      const length = lengths[from + symbol] ?? 0;
      if (length === 0) continue;
      const at = starts[length] ?? 0;
      this.#sorted[at] = symbol;
      starts[length] = at + 1;
    }
  }

  /** Fills in code by code in ascending order; the table grows with the code length. */
  #fill(longest: number): void {
    const { entries } = this;
    this.mask = (1 << longest) - 1;
    entries[0] = NO_CODE;
    // The code in stream order, its first bit lowest.
    let code = 0;
    let next = 0;
    for (let length = 1; length <= longest; length += 1) {
      const size = 1 << length;
      // Shorter codes match whatever bit follows.
      entries.copyWithin(size / 2, 0, size / 2);
      for (let left = this.#counts[length] ?? 0; left > 0; left -= 1) {
        entries[code] = (this.#meanings[this.#sorted[next] ?? 0] ?? 0) | length;
        next += 1;
        // Plus one, counted from the highest bit down.
        let bit = size / 2;
        while ((code & bit) !== 0) bit >>= 1;
        code = bit === 0 ? 0 : (code & (bit - 1)) | bit;
      }
    }
  }
}
