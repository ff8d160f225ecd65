/**
 * The header of a dynamic deflate block: the code lengths of its symbols. RFC 1951, section 3.2.7, with the rules of
 * zlib's inflate.c (QEMU's decoder), in zlib's order.
 */
import { type DeflateBits, DeflateStop } from './deflate-bits.js';
import { CODE_LENGTH_MASK, completenessOf, HuffmanTable } from './huffman-table.js';

/** Number of literals; the next symbol ends a block. */
export const LITERALS = 256;

/** The most symbols that a header can declare, and the most that are not reserved. */
const LENGTH_SYMBOLS = 288;
const DISTANCE_SYMBOLS = 32;
const MOST_LENGTHS = 286;
const MOST_DISTANCES = 30;

/** The longest header: 3 + 14 + 19 x 3 bits, and 316 code lengths of 7 + 7 bits at most. */
export const MOST_HEADER_BYTES = Math.ceil((3 + 14 + 19 * 3 + 316 * 14) / 8);

/** The order of the code lengths of the code length alphabet in a dynamic block. */
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LONGEST_CODE_LENGTH_CODE = 7;

/** Symbols of the code length alphabet: repeat the previous length, few zeros, many zeros. */
const REPEAT = 16;
const FEW_ZEROS = 17;

const SYMBOL_SHIFT = 4;

export class DynamicBlock {
  /** Code lengths of the literals and lengths, followed by those of the distances. */
  readonly lengths = new Uint8Array(LENGTH_SYMBOLS + DISTANCE_SYMBOLS);
  /** Number of literal and length symbols. */
  lengthSymbols = 0;
  distanceSymbols = 0;
  readonly #ownLengths = new Uint8Array(CODE_LENGTH_ORDER.length);
  readonly #codes = new HuffmanTable(
    Int32Array.from(CODE_LENGTH_ORDER, (_, symbol) => symbol << SYMBOL_SHIFT),
    LONGEST_CODE_LENGTH_CODE,
  );

  /**
   * Reads a header up to the first symbol's code. The caller checks the codes of the symbols.
   * @param bits positioned after the block's type
   * @param lenient accepts what libdeflate accepts: reserved symbols, one code length for all, no end of block
   * @throws DeflateStop
   */
  read(bits: DeflateBits, lenient: boolean): void {
    bits.need(14);
    const lengthSymbols = bits.take(5) + LITERALS + 1;
    const distanceSymbols = bits.take(5) + 1;
    const given = bits.take(4) + 4;
    if (!lenient && lengthSymbols > MOST_LENGTHS) {
      throw new DeflateStop(`a block has ${lengthSymbols} length symbols, ${MOST_LENGTHS} are allowed`);
    }
    if (!lenient && distanceSymbols > MOST_DISTANCES) {
      throw new DeflateStop(`a block has ${distanceSymbols} distance symbols, ${MOST_DISTANCES} are allowed`);
    }
    const own = this.#ownLengths;
    own.fill(0);
    for (let index = 0; index < given; index += 1) own[CODE_LENGTH_ORDER[index] as number] = bits.take(3);
    const completeness = completenessOf(own, 0, own.length);
    // zlib refuses an empty code later: all its lengths are zero, so the end of block has no code.
    const isUsable =
      completeness === 'complete' || completeness === 'empty' || (lenient && completeness === 'single');
    if (!isUsable) throw new DeflateStop(`the code of a block's code lengths is ${completeness}`);
    this.#codes.build(own, 0, own.length);
    if (completeness === 'single') this.#codes.completeSingle();
    this.#readLengths(bits, lengthSymbols + distanceSymbols);
    if (!lenient && this.lengths[LITERALS] === 0) throw new DeflateStop('a block has no code for its end');
    this.lengthSymbols = lengthSymbols;
    this.distanceSymbols = distanceSymbols;
  }

  #readLengths(bits: DeflateBits, count: number): void {
    const { lengths } = this;
    const { entries, mask } = this.#codes;
    const { view, end } = bits;
    let bit = bits.at;
    for (let at = 0; at < count; ) {
      const next = view.getInt32(bit >>> 3, true) >>> (bit & 7);
      const entry = entries[next & mask] as number;
      // With an empty code every bit means a length of 0.
      const codeLength = entry & CODE_LENGTH_MASK || 1;
      const symbol = entry >> SYMBOL_SHIFT;
      bit += codeLength;
      if (symbol < REPEAT) {
        if (bit > end) throw new DeflateStop();
        lengths[at] = symbol;
        at += 1;
        continue;
      }
      const extra = symbol === REPEAT ? 2 : symbol === FEW_ZEROS ? 3 : 7;
      bit += extra;
      if (bit > end) throw new DeflateStop();
      if (symbol === REPEAT && at === 0) {
        throw new DeflateStop('a block repeats a code length before its first');
      }
      const times = ((next >>> codeLength) & ((1 << extra) - 1)) + (extra === 7 ? 11 : 3);
      if (at + times > count) throw new DeflateStop('a block has more code lengths than symbols');
      const repeated = symbol === REPEAT ? (lengths[at - 1] as number) : 0;
      for (const to = at + times; at < to; at += 1) lengths[at] = repeated;
    }
    bits.at = bit;
  }
}
