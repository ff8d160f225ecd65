/**
 * How far a deflate stream looks back, which no inflater tells. Walks over the symbols and makes no output; refuses
 * whatever zlib refuses. RFC 1951. Used to say what the reader of an image must keep in memory.
 */
import { CorruptPayload } from './corrupt-payload.js';
import { CODE_LENGTH_MASK, HuffmanTable } from './huffman-table.js';

/** The farthest that a stream can look back, in bytes. */
export const LARGEST_WINDOW = 32768;

/** What a table says of a symbol: its kind, the least length or distance, and how many extra bits add to that. */
const LITERAL = 2 ** 26;
const END_OF_BLOCK = 2 ** 25;
const MATCH = 2 ** 24;
const BASE_SHIFT = 8;
const BASE_MASK = 0xffff;
const EXTRA_SHIFT = 4;
const EXTRA_MASK = 15;

/** Section 3.2.5. How many symbols there are for each number of extra bits, from none on. */
const LENGTHS_BY_EXTRA = [8, 4, 4, 4, 4, 4];
const DISTANCES_BY_EXTRA = [4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2];
const LITERALS = 256;
const SHORTEST_MATCH = 3;
const LONGEST_MATCH = 258;

/** How many symbols can have a code. The last two of each have one in fixed blocks, and no meaning. */
const LENGTH_SYMBOLS = 288;
const DISTANCE_SYMBOLS = 32;
const MEANINGLESS = 2;

/** Section 3.2.6: the code lengths of a fixed block, those of the distances behind the others. */
const FIXED_LENGTHS = new Uint8Array(LENGTH_SYMBOLS + DISTANCE_SYMBOLS)
  .fill(8, 0, 144)
  .fill(9, 144, 256)
  .fill(7, 256, 280)
  .fill(8, 280, LENGTH_SYMBOLS)
  .fill(5, LENGTH_SYMBOLS);

/** Section 3.2.7: the order in which a dynamic block has the code lengths of its code lengths. */
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LONGEST_CODE_LENGTH_CODE = 7;
const LONGEST_CODE = 15;

/** Bytes behind the stream that are looked at before its end is noticed. */
const PADDING = 16;

export class DeflateWindow {
  /** The stream and some zeros behind it. */
  #view = new DataView(new ArrayBuffer(PADDING));
  /** Of the stream, in bits. */
  #end = 0;
  /** Where the next bit is. */
  #bit = 0;
  readonly #codeLengths = new HuffmanTable(
    Int32Array.from(CODE_LENGTH_ORDER, (_, symbol) => symbol << BASE_SHIFT),
    LONGEST_CODE_LENGTH_CODE,
  );
  readonly #lengths = new HuffmanTable(lengthMeanings(), LONGEST_CODE);
  readonly #distances = new HuffmanTable(
    Int32Array.from([...matchMeanings(1, DISTANCES_BY_EXTRA), ...new Array<number>(MEANINGLESS).fill(0)]),
    LONGEST_CODE,
  );
  readonly #explicit = new Uint8Array(LENGTH_SYMBOLS + DISTANCE_SYMBOLS);

  /**
   * @param stream a whole deflate stream; trailing bytes are ignored
   * @param length what it yields, in bytes
   * @returns the largest distance of any match in bytes, 0 without matches
   * @throws Qcow2cError ERR_CORRUPT when the stream is broken or yields something else
   */
  farthest(stream: Uint8Array, length: number): number {
    this.#take(stream);
    let farthest = 0;
    let made = 0;
    for (let isLast = false; !isLast; ) {
      isLast = this.#bits(1) === 1;
      const type = this.#bits(2);
      if (type === 0) {
        made += this.#passStored();
      } else {
        if (type === 1) this.#loadFixedCodes();
        else if (type === 2) this.#loadDynamicCodes();
        else throw broken();
        const block = this.#passSymbols(made, length);
        farthest = Math.max(farthest, block.farthest);
        made = block.made;
      }
    }
    this.#refuseEnd();
    if (made !== length) throw broken();
    return farthest;
  }

  #take(stream: Uint8Array): void {
    const needed = stream.length + PADDING;
    if (this.#view.byteLength < needed) this.#view = new DataView(new ArrayBuffer(needed));
    const bytes = new Uint8Array(this.#view.buffer);
    bytes.set(stream);
    bytes.fill(0, stream.length, needed);
    this.#end = stream.length * 8;
    this.#bit = 0;
  }

  /** The next `count` bits, at most 16, the first one lowest. */
  #bits(count: number): number {
    const value = this.#peek() & (2 ** count - 1);
    this.#bit += count;
    return value;
  }

  /** At least 25 bits; behind the end some zeros. @throws Qcow2cError ERR_CORRUPT past the end */
  #peek(): number {
    this.#refuseEnd();
    return this.#view.getInt32(this.#bit >>> 3, true) >>> (this.#bit & 7);
  }

  #refuseEnd(): void {
    if (this.#bit > this.#end) throw broken();
  }

  /** Section 3.2.4. @returns bytes */
  #passStored(): number {
    this.#bit = Math.ceil(this.#bit / 8) * 8;
    const length = this.#bits(16);
    if ((length ^ this.#bits(16)) !== 0xffff) throw broken();
    this.#bit += length * 8;
    this.#refuseEnd();
    return length;
  }

  #loadFixedCodes(): void {
    this.#lengths.build(FIXED_LENGTHS, 0, LENGTH_SYMBOLS, false);
    this.#distances.build(FIXED_LENGTHS, LENGTH_SYMBOLS, DISTANCE_SYMBOLS, false);
  }

  /** Section 3.2.7. */
  #loadDynamicCodes(): void {
    const lengths = this.#bits(5) + LITERALS + 1;
    const distances = this.#bits(5) + 1;
    if (lengths > LENGTH_SYMBOLS - MEANINGLESS || distances > DISTANCE_SYMBOLS - MEANINGLESS) throw broken();
    const explicit = this.#explicit;
    const given = this.#bits(4) + 4;
    CODE_LENGTH_ORDER.forEach((symbol, index) => {
      explicit[symbol] = index < given ? this.#bits(3) : 0;
    });
    if (!this.#codeLengths.build(explicit, 0, CODE_LENGTH_ORDER.length, false)) throw broken();
    this.#readCodeLengths(lengths + distances);
    // A code for the end of the block need not be looked for: a block without one has no end.
    const isWhole =
      this.#lengths.build(explicit, 0, lengths, true) &&
      this.#distances.build(explicit, lengths, distances, true);
    if (!isWhole) throw broken();
  }

  #readCodeLengths(count: number): void {
    const explicit = this.#explicit;
    const { entries, mask } = this.#codeLengths;
    for (let at = 0; at < count; ) {
      const entry = entries[this.#peek() & mask] ?? 0;
      this.#bit += entry & CODE_LENGTH_MASK;
      const symbol = entry >> BASE_SHIFT;
      if (symbol < 16) {
        explicit[at] = symbol;
        at += 1;
        continue;
      }
      if (symbol === 16 && at === 0) throw broken();
      const repeated = symbol === 16 ? (explicit[at - 1] ?? 0) : 0;
      const times =
        symbol === 16 ? 3 + this.#bits(2) : symbol === 17 ? 3 + this.#bits(3) : 11 + this.#bits(7);
      if (at + times > count) throw broken();
      explicit.fill(repeated, at, at + times);
      at += times;
    }
  }

  /**
   * Up to the end of the block.
   * @param made bytes before the block
   * @param most bytes that there may be
   * @returns bytes up to the end of the block, and the largest distance in it
   */
  #passSymbols(made: number, most: number): { readonly made: number; readonly farthest: number } {
    const { entries: lengthEntries, mask: lengthMask } = this.#lengths;
    const { entries: distanceEntries, mask: distanceMask } = this.#distances;
    const view = this.#view;
    const end = this.#end;
    let bit = this.#bit;
    let farthest = 0;
    for (;;) {
      if (bit > end) throw broken();
      let bits = view.getInt32(bit >>> 3, true) >>> (bit & 7);
      const entry = lengthEntries[bits & lengthMask] as number;
      const codeLength = entry & CODE_LENGTH_MASK;
      bit += codeLength;
      if ((entry & LITERAL) !== 0) {
        made += 1;
        continue;
      }
      if ((entry & MATCH) === 0) {
        if ((entry & END_OF_BLOCK) === 0 || made > most) throw broken();
        break;
      }
      const lengthExtra = (entry >> EXTRA_SHIFT) & EXTRA_MASK;
      const length = ((entry >> BASE_SHIFT) & BASE_MASK) + ((bits >>> codeLength) & ((1 << lengthExtra) - 1));
      bit += lengthExtra;
      bits = view.getInt32(bit >>> 3, true) >>> (bit & 7);
      const distanceEntry = distanceEntries[bits & distanceMask] as number;
      bit += distanceEntry & CODE_LENGTH_MASK;
      const distanceExtra = (distanceEntry >> EXTRA_SHIFT) & EXTRA_MASK;
      bits = view.getInt32(bit >>> 3, true) >>> (bit & 7);
      bit += distanceExtra;
      const distance = ((distanceEntry >> BASE_SHIFT) & BASE_MASK) + (bits & ((1 << distanceExtra) - 1));
      if ((distanceEntry & MATCH) === 0 || distance > made) throw broken();
      if (distance > farthest) farthest = distance;
      made += length;
      if (made > most) throw broken();
    }
    this.#bit = bit;
    return { made, farthest };
  }
}

/** Section 3.2.5: literals, the end of the block, lengths. */
function lengthMeanings(): Int32Array {
  const meanings = new Int32Array(LENGTH_SYMBOLS);
  meanings.fill(LITERAL, 0, LITERALS);
  meanings[LITERALS] = END_OF_BLOCK;
  const lengths = matchMeanings(SHORTEST_MATCH, LENGTHS_BY_EXTRA);
  meanings.set(lengths, LITERALS + 1);
  meanings[LITERALS + 1 + lengths.length] = MATCH | (LONGEST_MATCH << BASE_SHIFT);
  return meanings;
}

/** The symbols of ascending lengths or distances: each begins where the one before ends. */
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

function broken(): CorruptPayload {
  return new CorruptPayload('the deflate stream is broken');
}
