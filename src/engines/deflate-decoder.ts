/**
 * Inflates raw deflate (RFC 1951) symbol by symbol by the rules of zlib's inflate.c, and reports where and why a stream
 * stops. The faster engines only refuse a stream. QEMU reads some of the refused streams, and --salvage needs their
 * readable part. So this decoder decides about every refused stream, with the same result on every machine.
 */
import { DeflateBits, DeflateStop } from './deflate-bits.js';
import { DynamicBlock, LITERALS } from './dynamic-block.js';
import { CODE_LENGTH_MASK, completenessOf, HuffmanTable, NO_CODE } from './huffman-table.js';

/** The largest distance of a match, in bytes. */
export const LARGEST_WINDOW = 32768;

/** A table's entry for a symbol: its kind; the literal, least length or least distance; the number of extra bits. */
const LITERAL = 2 ** 26;
const END_OF_BLOCK = 2 ** 25;
const MATCH = 2 ** 24;
const BASE_SHIFT = 8;
const BASE_MASK = 0xffff;
const EXTRA_SHIFT = 4;
const EXTRA_MASK = 15;

/** Section 3.2.5. The number of symbols for each number of extra bits, from 0 on. */
const LENGTHS_BY_EXTRA = [8, 4, 4, 4, 4, 4];
const DISTANCES_BY_EXTRA = [4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2];
const SHORTEST_MATCH = 3;
const LONGEST_MATCH = 258;

/** The number of symbols that can have a code. The last two of each are reserved; they have codes in fixed blocks. */
const LENGTH_SYMBOLS = 288;
const DISTANCE_SYMBOLS = 32;
const MEANINGLESS = 2;
const LONGEST_CODE = 15;
/** Code lengths of fixed blocks. */
const LONGEST_FIXED_LENGTH = 9;
const FIXED_DISTANCE = 5;

/** Section 3.2.6: the code lengths of a fixed block, lengths of distances follow the others. */
const FIXED_LENGTHS = new Uint8Array(LENGTH_SYMBOLS + DISTANCE_SYMBOLS)
  .fill(8, 0, 144)
  .fill(9, 144, 256)
  .fill(7, 256, 280)
  .fill(8, 280, LENGTH_SYMBOLS)
  .fill(5, LENGTH_SYMBOLS);

/** How decoding ended. */
export interface DecodedStream {
  /** Bytes of output. */
  readonly made: number;
  /** Bytes of input. */
  readonly taken: number;
  /**
   * `final`: the end of the final block. `open`: the output is full or the input has ended, without an error before.
   * `broken`: the following bits are invalid.
   */
  readonly end: 'final' | 'open' | 'broken';
  /** The defect of a broken stream, as a clause. */
  readonly flaw: string | undefined;
  /** A block other than the final one ends exactly where the output is full. */
  readonly isUnfinished: boolean;
  /** The largest distance of a match in bytes; 0 without matches. */
  readonly farthest: number;
}

export class DeflateDecoder {
  readonly #bits = new DeflateBits();
  readonly #block = new DynamicBlock();
  readonly #lengths = new HuffmanTable(lengthMeanings(), LONGEST_CODE);
  readonly #distances = new HuffmanTable(distanceMeanings(), LONGEST_CODE);
  /** Tables of fixed blocks, built once: a cluster can have a hundred thousand such blocks. */
  readonly #fixedLengths = new HuffmanTable(lengthMeanings(), LONGEST_FIXED_LENGTH);
  readonly #fixedDistances = new HuffmanTable(distanceMeanings(), FIXED_DISTANCE);
  #output: Uint8Array = new Uint8Array(0);
  #made = 0;
  #farthest = 0;
  #isLenient = false;

  constructor() {
    this.#fixedLengths.build(FIXED_LENGTHS, 0, LENGTH_SYMBOLS);
    this.#fixedDistances.build(FIXED_LENGTHS, LENGTH_SYMBOLS, DISTANCE_SYMBOLS);
  }

  /**
   * Inflates a stream into `output` as far as possible. Never throws because of the stream's content.
   * @param stream may be followed by other bytes
   * @param output receives as much as fits
   * @param lenient accepts what libdeflate accepts and zlib refuses
   */
  decode(stream: Uint8Array, output: Uint8Array, lenient = false): DecodedStream {
    this.#bits.load(stream);
    this.#output = output;
    this.#made = 0;
    this.#farthest = 0;
    this.#isLenient = lenient;
    let isUnfinished = false;
    let end: DecodedStream['end'] = 'open';
    let flaw: string | undefined;
    try {
      for (let isGoingOn = true; isGoingOn; ) {
        const isFinal = this.#passBlock();
        if (isFinal === undefined) break;
        if (isFinal) end = 'final';
        else isUnfinished ||= this.#made === output.length;
        isGoingOn = !isFinal;
      }
    } catch (error) {
      if (!(error instanceof DeflateStop)) throw error;
      if (error.flaw !== undefined) end = 'broken';
      flaw = error.flaw;
    }
    const taken = Math.ceil(Math.min(this.#bits.at, this.#bits.end) / 8);
    this.#output = new Uint8Array(0);
    return { made: this.#made, taken, end, flaw, isUnfinished, farthest: this.#farthest };
  }

  /**
   * @returns whether it is the final block; undefined: the output is full before the end of the block
   * @throws DeflateStop
   */
  #passBlock(): boolean | undefined {
    const bits = this.#bits;
    const header = bits.take(3);
    const isFinal = (header & 1) === 1;
    switch (header >> 1) {
      case 0:
        return this.#passStored() ? isFinal : undefined;
      case 1:
        return this.#passSymbols(this.#fixedLengths, this.#fixedDistances) ? isFinal : undefined;
      case 2:
        this.#loadDynamicCodes();
        return this.#passSymbols(this.#lengths, this.#distances) ? isFinal : undefined;
      default:
        throw new DeflateStop('a block has the reserved type 3');
    }
  }

  /** Section 3.2.4. @returns whether all of it fits @throws DeflateStop */
  #passStored(): boolean {
    const bits = this.#bits;
    bits.alignToByte();
    bits.need(32);
    const length = bits.take(16);
    if ((length ^ bits.take(16)) !== 0xffff) {
      throw new DeflateStop('the length of a stored block differs from its complement');
    }
    const room = Math.min(length, this.#output.length - this.#made);
    const bytes = bits.takeBytes(room);
    this.#output.set(bytes, this.#made);
    this.#made += bytes.length;
    if (bytes.length < room) throw new DeflateStop();
    return room === length;
  }

  /** Section 3.2.7. @throws DeflateStop */
  #loadDynamicCodes(): void {
    const block = this.#block;
    block.read(this.#bits, this.#isLenient);
    const { lengths, lengthSymbols, distanceSymbols } = block;
    this.#loadCodes(this.#lengths, lengths, 0, lengthSymbols, 'lengths');
    this.#loadCodes(this.#distances, lengths, lengthSymbols, distanceSymbols, 'distances');
  }

  #loadCodes(table: HuffmanTable, lengths: Uint8Array, from: number, count: number, what: string): void {
    const completeness = completenessOf(lengths, from, count);
    if (completeness === 'oversubscribed' || (completeness === 'incomplete' && !this.#isLenient)) {
      throw new DeflateStop(`the code of a block's ${what} is ${completeness}`);
    }
    table.build(lengths, from, count);
    if (completeness === 'single' && this.#isLenient) table.completeSingle();
  }

  /** Decodes up to the end of the block. @returns whether all of it fits @throws DeflateStop */
  #passSymbols(lengths: HuffmanTable, distances: HuffmanTable): boolean {
    const { entries: lengthEntries, mask: lengthMask } = lengths;
    const { entries: distanceEntries, mask: distanceMask } = distances;
    const { view, end } = this.#bits;
    const output = this.#output;
    const room = output.length;
    let bit = this.#bits.at;
    let made = this.#made;
    let farthest = this.#farthest;
    try {
      for (;;) {
        let bits = view.getInt32(bit >>> 3, true) >>> (bit & 7);
        const entry = lengthEntries[bits & lengthMask] as number;
        const codeLength = entry & CODE_LENGTH_MASK;
        if (bit + codeLength >= end && bit + (codeLength || 1) > end) throw new DeflateStop();
        bit += codeLength;
        if ((entry & LITERAL) !== 0) {
          if (made === room) return false;
          output[made] = entry >> BASE_SHIFT;
          made += 1;
          continue;
        }
        if ((entry & MATCH) === 0) {
          if ((entry & END_OF_BLOCK) !== 0) return true;
          throw new DeflateStop(noSymbol(entry, 'length'));
        }
        const lengthExtra = (entry >> EXTRA_SHIFT) & EXTRA_MASK;
        let length = ((entry >> BASE_SHIFT) & BASE_MASK) + ((bits >>> codeLength) & ((1 << lengthExtra) - 1));
        bit += lengthExtra;
        if (bit > end) throw new DeflateStop();
        bits = view.getInt32(bit >>> 3, true) >>> (bit & 7);
        const distanceEntry = distanceEntries[bits & distanceMask] as number;
        const distanceLength = distanceEntry & CODE_LENGTH_MASK;
        if (bit + distanceLength >= end && bit + (distanceLength || 1) > end) throw new DeflateStop();
        bit += distanceLength;
        if ((distanceEntry & MATCH) === 0) throw new DeflateStop(noSymbol(distanceEntry, 'distance'));
        const distanceExtra = (distanceEntry >> EXTRA_SHIFT) & EXTRA_MASK;
        bits = view.getInt32(bit >>> 3, true) >>> (bit & 7);
        bit += distanceExtra;
        if (bit > end) throw new DeflateStop();
        const distance = ((distanceEntry >> BASE_SHIFT) & BASE_MASK) + (bits & ((1 << distanceExtra) - 1));
        // zlib checks the room first; without room, a distance that is too large has no effect.
        if (made === room) return false;
        if (distance > made) throw new DeflateStop('a match begins before the start of the cluster');
        if (distance > farthest) farthest = distance;
        const isWhole = length <= room - made;
        if (!isWhole) length = room - made;
        if (distance >= length && length > 32) {
          output.copyWithin(made, made - distance, made - distance + length);
          made += length;
        } else {
          for (const to = made + length; made < to; made += 1)
            output[made] = output[made - distance] as number;
        }
        if (!isWhole) return false;
      }
    } finally {
      this.#bits.at = bit;
      this.#made = made;
      this.#farthest = farthest;
    }
  }
}

function noSymbol(entry: number, what: 'length' | 'distance'): string {
  return entry === NO_CODE ? `bits match no code of a ${what}` : `a ${what} symbol is reserved`;
}

/** Section 3.2.5: literals, the end of the block, lengths. */
function lengthMeanings(): Int32Array {
  const meanings = new Int32Array(LENGTH_SYMBOLS);
  for (let literal = 0; literal < LITERALS; literal += 1) {
    meanings[literal] = LITERAL | (literal << BASE_SHIFT);
  }
  meanings[LITERALS] = END_OF_BLOCK;
  const lengths = matchMeanings(SHORTEST_MATCH, LENGTHS_BY_EXTRA);
  meanings.set(lengths, LITERALS + 1);
  meanings[LITERALS + 1 + lengths.length] = MATCH | (LONGEST_MATCH << BASE_SHIFT);
  return meanings;
}

function distanceMeanings(): Int32Array {
  return Int32Array.from([
    ...matchMeanings(1, DISTANCES_BY_EXTRA),
    ...new Array<number>(MEANINGLESS).fill(0),
  ]);
}

/** The symbols of ascending lengths or distances: each begins where the previous one ends. */
function matchMeanings(first: number, symbolsByExtra: readonly number[]): number[] {
  let base = first;
  return symbolsByExtra.flatMap((symbols, extra) =>
    Array.from({ length: symbols }, () => {
      const meaning = MATCH | (base << BASE_SHIFT) | (extra << EXTRA_SHIFT);
      base += 2 ** extra;
      return meaning;
    }),
  );
}
