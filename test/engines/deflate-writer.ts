/** Writes deflate streams symbol by symbol, right ones and wrong ones. RFC 1951. */

/** Bits of a stream: section 3.1.1. */
export class BitWriter {
  readonly #bits: number[] = [];

  /** A number: its lowest bit first. */
  number(value: number, bits: number): void {
    for (let bit = 0; bit < bits; bit += 1) this.#bits.push((value >> bit) & 1);
  }

  /** A code: its highest bit first. */
  code(value: number, bits: number): void {
    for (let bit = bits - 1; bit >= 0; bit -= 1) this.#bits.push((value >> bit) & 1);
  }

  alignToByte(): void {
    while (this.#bits.length % 8 !== 0) this.#bits.push(0);
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(Math.ceil(this.#bits.length / 8));
    for (const [index, bit] of this.#bits.entries()) bytes[index >> 3]! |= bit << (index & 7);
    return bytes;
  }
}

/** A symbol of a block: a literal or the block's end by its number, or a match. */
export type Token =
  | number
  | {
      /** 257 to 287, and 0 to 31; the extra bits that belong to each. */
      readonly length: number;
      readonly lengthExtra: number;
      readonly distance: number;
      readonly distanceExtra: number;
    };

export const END_OF_BLOCK = 256;

/** Section 3.2.5: how many extra bits follow a symbol. Symbols without a meaning get none. */
export const lengthExtraBits = (symbol: number) =>
  symbol < 265 || symbol > 284 ? 0 : Math.floor((symbol - 261) / 4);
export const distanceExtraBits = (symbol: number) => (symbol < 4 || symbol > 29 ? 0 : (symbol >> 1) - 1);

/** Section 3.2.2, also of lengths that are no code: then codes are cut to their length. */
function codesOf(lengths: readonly number[]): number[] {
  const counts = new Array<number>(17).fill(0);
  for (const length of lengths) if (length > 0) counts[length]! += 1;
  const next = new Array<number>(17).fill(0);
  for (let bits = 1; bits <= 15; bits += 1) next[bits + 1] = (next[bits]! + counts[bits]!) << 1;
  // The first code of a length begins where the shorter ones end.
  const first = next.map((value, bits) => (bits === 0 ? 0 : value));
  return lengths.map((length) => {
    const code = first[length]!;
    first[length] = code + 1;
    return code & (2 ** length - 1);
  });
}

/** What a dynamic block declares. */
export interface DynamicCodes {
  /** Code lengths of 257 to 288 literal and length symbols. */
  readonly lengths: readonly number[];
  /** Code lengths of 1 to 32 distance symbols. */
  readonly distances: readonly number[];
}

const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** The code lengths that codes of the code lengths have here: 0 to 15 and 16 to 18, all of them usable. */
const OWN_LENGTHS = ORDER.map((_, symbol) => (symbol < 13 ? 4 : 5));

/** @param repeats of code lengths written as such: `[at, symbol, extra]` in place of the plain ones */
export function writeDynamicHeader(
  writer: BitWriter,
  isFinal: boolean,
  { lengths, distances }: DynamicCodes,
  ownLengths: readonly number[] = OWN_LENGTHS,
  tail: readonly (readonly [symbol: number, extra: number])[] = [],
): void {
  writer.number(isFinal ? 1 : 0, 1);
  writer.number(2, 2);
  writer.number(lengths.length - 257, 5);
  writer.number(distances.length - 1, 5);
  writer.number(15, 4);
  for (const symbol of ORDER) writer.number(ownLengths[symbol]!, 3);
  const codes = codesOf(ownLengths);
  const all = [...lengths, ...distances];
  const replaced = tail.reduce((sum, [symbol]) => sum + (symbol === 18 ? 11 : 3), 0);
  for (const length of all.slice(0, Math.max(0, all.length - replaced))) {
    writer.code(codes[length]!, ownLengths[length]!);
  }
  for (const [symbol, extra] of tail) {
    writer.code(codes[symbol]!, ownLengths[symbol]!);
    writer.number(extra, symbol === 16 ? 2 : symbol === 17 ? 3 : 7);
  }
}

/**
 * @param isOther asked for each symbol of a code of one symbol, or none: whether to write the bit that stands for no
 *   symbol. libdeflate reads it like the other one.
 */
export function writeTokens(
  writer: BitWriter,
  tokens: readonly Token[],
  { lengths, distances }: DynamicCodes,
  isOther: () => boolean = () => false,
): void {
  const writeLength = symbolWriter(writer, lengths, isOther);
  const writeDistance = symbolWriter(writer, distances, isOther);
  for (const token of tokens) {
    if (typeof token === 'number') {
      writeLength(token);
      continue;
    }
    writeLength(token.length);
    writer.number(token.lengthExtra, lengthExtraBits(token.length));
    writeDistance(token.distance);
    writer.number(token.distanceExtra, distanceExtraBits(token.distance));
  }
}

function symbolWriter(
  writer: BitWriter,
  lengths: readonly number[],
  isOther: () => boolean,
): (symbol: number) => void {
  const codes = codesOf(lengths);
  const isSingle = lengths.filter((length) => length > 0).length <= 1;
  return (symbol) => {
    if (isSingle) writer.number(isOther() ? 1 : 0, 1);
    else writer.code(codes[symbol] ?? 0, lengths[symbol] ?? 0);
  };
}

/** Section 3.2.6. */
export const FIXED_CODES: DynamicCodes = {
  lengths: Array.from({ length: 288 }, (_, symbol) =>
    symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8,
  ),
  distances: new Array<number>(32).fill(5),
};

export function writeFixedHeader(writer: BitWriter, isFinal: boolean): void {
  writer.number(isFinal ? 1 : 0, 1);
  writer.number(1, 2);
}

export function writeStored(
  writer: BitWriter,
  isFinal: boolean,
  bytes: Uint8Array,
  complement?: number,
): void {
  writer.number(isFinal ? 1 : 0, 3);
  writer.alignToByte();
  writer.number(bytes.length, 16);
  writer.number(complement ?? ~bytes.length & 0xffff, 16);
  for (const byte of bytes) writer.number(byte, 8);
}
