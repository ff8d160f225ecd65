/**
 * Inflates deflate streams of several blocks with libdeflate and reads the header of every block, so that no stream
 * passes that zlib refuses. libdeflate returns the end of a stream in bytes only, and not the ends of blocks. So each
 * block is inflated as if it were the final one. It then ends in the last byte consumed, after a bit that completes the
 * block's end-of-block code. If there are several such bits, the last bit of the last such code is flipped. If the code
 * was the end of the block, it becomes another symbol and the block yields more. Otherwise the bit lies after the
 * block, and the output does not change.
 *
 * A later block is inflated after a stored block with its history (the window), and after empty blocks that shift it to
 * its bit position in the first byte. Both overwrite bytes that were inflated before.
 */
import type { BlockInflater, Inflater } from './codec.js';
import { DeflateBits, DeflateStop } from './deflate-bits.js';
import { LARGEST_WINDOW } from './deflate-decoder.js';
import { DynamicBlock, LITERALS, MOST_HEADER_BYTES } from './dynamic-block.js';
import { codeOf, completenessOf } from './huffman-table.js';

/** Header of a byte-aligned stored block: its type, its length, the complement. */
const STORED_HEADER = 5;

/** An empty block with fixed codes, as bits: 0, 1 and 0, and its end-of-block code. */
const EMPTY_FIXED = '0100000000';
/**
 * An empty dynamic block with an odd number of bits, in stream order: 257 and 1 symbols; 19 code lengths, those of 18
 * and 1 being 1; 138 and 118 zeros; a code of one bit for the end and for a distance; the end.
 */
const EMPTY_DYNAMIC = [
  ...['001', '00000', '00000', '1111'],
  ...['000', '000', '100', ...new Array<string>(14).fill('000'), '100', '000'],
  ...['1', '1111111', '1', '1101011', '0', '0', '0'],
].join('');

/**
 * Indexed by the bit of its first byte at which a block begins: the empty blocks before it, the last byte incomplete.
 */
const FILLERS: readonly Uint8Array[] = Array.from({ length: 8 }, (_, bit) => {
  let filler = bit % 2 === 0 ? '' : EMPTY_DYNAMIC;
  while (filler.length % 8 !== bit) filler += EMPTY_FIXED;
  const bytes = new Uint8Array(Math.ceil(filler.length / 8));
  for (let at = 0; at < filler.length; at += 1) {
    if (filler[at] === '1') bytes[at >> 3] = (bytes[at >> 3] as number) | (1 << (at & 7));
  }
  return bytes;
});

/** Room before a stream for the blocks that precede its second block. */
const HEADROOM = STORED_HEADER + LARGEST_WINDOW + Math.max(...FILLERS.map(({ length }) => length));

/** Each block costs as much as some thousand bytes of output. Streams of smaller blocks are left to zlib. */
const BYTES_A_BLOCK = 4096;
const MOST_SMALL_BLOCKS = 4;

export class BlockwiseInflater implements Inflater {
  readonly #inflater: BlockInflater;
  readonly #bits = new DeflateBits();
  readonly #block = new DynamicBlock();
  /** Room, followed by the stream. */
  #memory = new Uint8Array(HEADROOM);

  /** @param inflater gives the same result as zlib for one block with complete codes; freed with this */
  constructor(inflater: BlockInflater) {
    this.#inflater = inflater;
  }

  /** @returns undefined also if this engine cannot decide */
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

  /** Reads the header of a block. @returns whether it is the final one @throws DeflateStop */
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
    // A fixed block has codes for reserved symbols.
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
   * Turns the block at a bit of the stream into the final block of a stream that begins with its history.
   * @returns where that stream begins in the memory
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

  /** @returns the bits of the byte, ascending, after which the end-of-block code is complete */
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

/** The end of a block: bytes of output, and the next bit of the stream. */
interface BlockEnd {
  readonly made: number;
  readonly end: number;
}

/** The `count` bits before a bit of the stream, in the order of a code: the first bit highest. */
function bitsBefore(input: Uint8Array, end: number, count: number): number {
  let code = 0;
  for (let bit = end - count; bit < end; bit += 1) {
    code = (code << 1) | (((input[bit >>> 3] as number) >> (bit & 7)) & 1);
  }
  return code;
}
