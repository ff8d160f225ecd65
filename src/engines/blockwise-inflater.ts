/**
 * Inflates deflate streams of several blocks with libdeflate and sees the header of every block, so that nothing passes
 * that zlib refuses. libdeflate tells where a stream ends to the byte only, and never where a block does. So each block is
 * inflated as if it were the final one. It then ends in the last byte that was taken, behind a bit at which the block's code
 * for its end is complete. Where there are several such bits, the last bit of the last such code is turned over. If it is
 * the code for the end, another symbol takes its place, and the block yields more. Otherwise the bit lies behind the block,
 * and nothing changes.
 *
 * A later block is inflated behind a stored block that holds what it can look back at, and behind empty blocks that
 * bring it to its place in its first byte. Both take the place of bytes that were inflated before.
 */
import type { BlockInflater, Inflater } from './codec.js';
import { DeflateBits, DeflateStop } from './deflate-bits.js';
import { LARGEST_WINDOW } from './deflate-decoder.js';
import { DynamicBlock, LITERALS, MOST_HEADER_BYTES } from './dynamic-block.js';
import { codeOf, completenessOf } from './huffman-table.js';

/** Header of a stored block that begins with a byte: its type, its length, the complement. */
const STORED_HEADER = 5;

/** An empty block with fixed codes, bits: 0, 1 and 0, and the code of its end. */
const EMPTY_FIXED = '0100000000';
/**
 * An empty dynamic block, in the order of its bits, of an odd number: 257 and 1 symbols, 19 code lengths, of which those of
 * 18 and 1 are 1; 138 and 118 zeros, a code of one bit for the end and for a distance, and the end.
 */
const EMPTY_DYNAMIC = [
  ...['001', '00000', '00000', '1111'],
  ...['000', '000', '100', ...new Array<string>(14).fill('000'), '100', '000'],
  ...['1', '1111111', '1', '1101011', '0', '0', '0'],
].join('');

/** By the bit that a block is to begin at, in its first byte: the empty blocks before it, the last byte begun. */
const FILLERS: readonly Uint8Array[] = Array.from({ length: 8 }, (_, bit) => {
  let filler = bit % 2 === 0 ? '' : EMPTY_DYNAMIC;
  while (filler.length % 8 !== bit) filler += EMPTY_FIXED;
  const bytes = new Uint8Array(Math.ceil(filler.length / 8));
  for (let at = 0; at < filler.length; at += 1) {
    if (filler[at] === '1') bytes[at >> 3] = (bytes[at >> 3] as number) | (1 << (at & 7));
  }
  return bytes;
});

/** Room before a stream for what its second block needs. */
const HEADROOM = STORED_HEADER + LARGEST_WINDOW + Math.max(...FILLERS.map(({ length }) => length));

/** Each block costs as much as some thousand bytes of output: streams of smaller ones are left to zlib. */
const BYTES_A_BLOCK = 4096;
const MOST_SMALL_BLOCKS = 4;

export class BlockwiseInflater implements Inflater {
  readonly #inflater: BlockInflater;
  readonly #bits = new DeflateBits();
  readonly #block = new DynamicBlock();
  /** Room, and behind it the stream. */
  #memory = new Uint8Array(HEADROOM);

  /** @param inflater makes of one block whose codes are complete what zlib makes of it; freed with this */
  constructor(inflater: BlockInflater) {
    this.#inflater = inflater;
  }

  /** @returns undefined also where this cannot tell */
  inflate(input: Uint8Array, output: Uint8Array): number | undefined {
    if (this.#memory.length < HEADROOM + input.length) {
      this.#memory = new Uint8Array(HEADROOM + input.length);
    }
    this.#memory.set(input, HEADROOM);
    const mostBlocks = MOST_SMALL_BLOCKS + output.length / BYTES_A_BLOCK;
    try {
      let made = 0;
      for (let bit = 0, blocks = 0; blocks < mostBlocks; blocks += 1) {
        const isFinal = this.#beginBlock(input, bit);
        const block =
          this.#type === 0
            ? this.#copyStored(input, bit, output, made)
            : this.#inflateBlock(input, bit, output, made, isFinal);
        if (block === undefined) return undefined;
        made = block.made;
        if (isFinal) return made === output.length ? Math.ceil(block.end / 8) : undefined;
        bit = block.end;
      }
    } catch (error) {
      if (!(error instanceof DeflateStop)) throw error;
    }
    return undefined;
  }

  free(): void {
    this.#inflater.free();
  }

  #type = 0;

  /** Reads what a block begins with. @returns whether it is the final one @throws DeflateStop */
  #beginBlock(input: Uint8Array, bit: number): boolean {
    const from = bit >>> 3;
    this.#bits.load(input.subarray(from, from + MOST_HEADER_BYTES + 1));
    this.#bits.at = bit & 7;
    const header = this.#bits.take(3);
    this.#type = header >> 1;
    return (header & 1) === 1;
  }

  #copyStored(input: Uint8Array, bit: number, output: Uint8Array, made: number): BlockEnd | undefined {
    const bits = this.#bits;
    bits.alignToByte();
    const length = bits.take(16);
    if ((length ^ bits.take(16)) !== 0xffff) return undefined;
    const from = (bit >>> 3) + bits.at / 8;
    const to = from + length;
    if (to > input.length || made + length > output.length) return undefined;
    output.set(input.subarray(from, to), made);
    return { made: made + length, end: 8 * to };
  }

  #inflateBlock(
    input: Uint8Array,
    bit: number,
    output: Uint8Array,
    made: number,
    isFinal: boolean,
  ): BlockEnd | undefined {
    // A fixed block has codes for symbols without a meaning.
    if (this.#type !== 2) return undefined;
    const block = this.#block;
    block.read(this.#bits, false);
    const { lengths, lengthSymbols, distanceSymbols } = block;
    const isComplete =
      completenessOf(lengths, 0, lengthSymbols) === 'complete' &&
      completenessOf(lengths, lengthSymbols, distanceSymbols) === 'complete';
    if (!isComplete) return undefined;
    const headerEnd = (bit & ~7) + this.#bits.at;
    const history = Math.min(made, LARGEST_WINDOW);
    const start = this.#prepare(bit, output.subarray(made - history, made));
    const stream = this.#memory.subarray(start, HEADROOM + input.length);
    const inflated = this.#inflater.inflateStream(stream, output.subarray(made - history));
    if (inflated === undefined) return undefined;
    const lastByte = start + inflated.taken - 1;
    const ended = { made: made - history + inflated.made, end: 8 * (lastByte + 1 - HEADROOM) };
    if (isFinal) return ended;
    const ends = this.#possibleEnds(input, lastByte - HEADROOM, headerEnd);
    for (let end = ends.pop(); end !== undefined; end = ends.pop()) {
      if (ends.length === 0) return { ...ended, end };
      this.#memory[lastByte] = (this.#memory[lastByte] as number) ^ (1 << ((end - 1) & 7));
      const again = this.#inflater.inflateStream(stream, output.subarray(made - history));
      this.#memory[lastByte] = input[lastByte - HEADROOM] as number;
      if (again?.made !== inflated.made) return { ...ended, end };
    }
    return undefined;
  }

  /**
   * Makes the block at a bit of the stream the final one of a stream that begins with what it can look back at.
   * @returns where that begins in the memory
   */
  #prepare(bit: number, history: Uint8Array): number {
    const memory = this.#memory;
    const at = HEADROOM + (bit >>> 3);
    const inByte = bit & 7;
    memory[at] = (memory[at] as number) | (1 << inByte);
    if (bit === 0) return at;
    const filler = FILLERS[inByte] as Uint8Array;
    const isShared = inByte > 0;
    const own = (memory[at] as number) & (0xff << inByte);
    const fillerAt = at + (isShared ? 1 : 0) - filler.length;
    memory.set(filler, fillerAt);
    if (isShared) memory[at] = (memory[at] as number) | own;
    memory.set(history, fillerAt - history.length);
    const start = fillerAt - history.length - STORED_HEADER;
    const { length } = history;
    memory.set([0, length & 0xff, length >> 8, ~length & 0xff, (~length >> 8) & 0xff], start);
    return start;
  }

  /** @returns the bits, ascending, behind which the code for the block's end is complete and which lie in the byte */
  #possibleEnds(input: Uint8Array, lastByte: number, from: number): number[] {
    const { lengths, lengthSymbols } = this.#block;
    const length = lengths[LITERALS] as number;
    const code = codeOf(LITERALS, lengths, lengthSymbols);
    const ends: number[] = [];
    for (let end = 8 * lastByte + 1; end <= 8 * lastByte + 8; end += 1) {
      if (end - length >= from && bitsBefore(input, end, length) === code) ends.push(end);
    }
    return ends;
  }
}

/** Where a block has ended: bytes of output, and the bit of the stream behind it. */
interface BlockEnd {
  readonly made: number;
  readonly end: number;
}

/** The `count` bits before a bit of the stream, as a code has them: the first one highest. */
function bitsBefore(input: Uint8Array, end: number, count: number): number {
  let code = 0;
  for (let bit = end - count; bit < end; bit += 1) {
    code = (code << 1) | (((input[bit >>> 3] as number) >> (bit & 7)) & 1);
  }
  return code;
}
