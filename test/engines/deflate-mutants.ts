/** Makes valid and invalid deflate payloads from a seed: streams with changed bits, and streams of random symbols. */
import { constants, deflateRawSync } from 'node:zlib';
import { Random } from '../fuzz/random.js';
import {
  BitWriter,
  type DynamicCodes,
  distanceExtraBits,
  END_OF_BLOCK,
  FIXED_CODES,
  lengthExtraBits,
  type Token,
  writeDynamicHeader,
  writeFixedHeader,
  writeStored,
  writeTokens,
} from './deflate-writer.js';
import { joined, records, text } from './samples.js';

interface DeflateMutant {
  readonly payload: Uint8Array;
  /** Bytes. */
  readonly clusterSize: number;
}

export function deflateMutant(seed: number, index: number): DeflateMutant {
  const random = new Random(seed, index);
  const [payload, length] = random.chance(0.4) ? changedStream(random) : streamOfSymbols(random);
  // Mostly the length of the inflated stream, sometimes a little more or less.
  const clusterSize = Math.max(
    1,
    length +
      random.weighed([
        [6, 0],
        [1, 1],
        [1, -1],
        [1, random.below(300) - 150],
      ]),
  );
  return { payload: joined(payload, trailingBytes(random)), clusterSize };
}

/** The bytes after a payload: none, zeros to the sector's end, noise, or another stream. */
function trailingBytes(random: Random): Uint8Array {
  switch (random.below(4)) {
    case 0:
      return new Uint8Array(0);
    case 1:
      return new Uint8Array(random.below(40));
    case 2:
      return random.bytes(random.below(40));
    default:
      return deflateRawSync(text(200, 1 + random.below(9)));
  }
}

const { Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE, Z_DEFAULT_STRATEGY, Z_FINISH, Z_SYNC_FLUSH, Z_PARTIAL_FLUSH } =
  constants;

/** A compressor's stream with flipped bits or replaced bytes, perhaps cut off. @returns also the length of its input */
function changedStream(random: Random): [Uint8Array, number] {
  const length = 1 + random.below(1500);
  const body = random.chance(0.5)
    ? text(length, 1 + random.below(99))
    : records(length, 1 + random.below(99));
  const stream = Buffer.from(
    deflateRawSync(body, {
      level: random.pick([0, 1, 6, 9]),
      strategy: random.pick([Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE, Z_DEFAULT_STRATEGY, Z_DEFAULT_STRATEGY]),
      // A small memLevel makes several small blocks.
      memLevel: random.pick([1, 9]),
      windowBits: random.pick([9, 12, 15]),
      // The two flushes leave the final block out.
      finishFlush: random.weighed([
        [8, Z_FINISH],
        [1, Z_SYNC_FLUSH],
        [1, Z_PARTIAL_FLUSH],
      ]),
    }),
  );
  for (let changes = random.below(4); changes > 0 && stream.length > 0; changes -= 1) {
    // Most changes are in headers, because these have the most rules.
    const at = random.chance(0.5) ? random.below(Math.min(80, stream.length)) : random.below(stream.length);
    if (random.chance(0.7)) stream[at]! ^= 1 << random.below(8);
    else stream[at] = random.below(256);
  }
  const kept = random.chance(0.1) ? stream.subarray(0, random.below(stream.length)) : stream;
  return [kept, length];
}

/** Blocks with codes and symbols that no compressor chooses. @returns also the length that they seem to yield */
function streamOfSymbols(random: Random): [Uint8Array, number] {
  const writer = new BitWriter();
  let made = 0;
  const blocks = random.weighed([
    [3, 1],
    [1, 2],
    [1, 3],
  ]);
  for (let block = 0; block < blocks; block += 1) {
    const isFinal = block === blocks - 1 && !random.chance(0.1);
    switch (random.below(8)) {
      case 0: {
        const bytes = random.bytes(random.below(30));
        writeStored(writer, isFinal, bytes, random.chance(0.1) ? random.below(65536) : undefined);
        made += bytes.length;
        break;
      }
      case 1:
      case 2: {
        writeFixedHeader(writer, isFinal);
        const [tokens, length] = tokensFor(random, FIXED_CODES, made);
        writeTokens(writer, tokens, FIXED_CODES);
        made += length;
        break;
      }
      case 3:
        // A header alone, sometimes of the reserved type; the next block's bits follow.
        writer.number(0, 1);
        writer.number(random.chance(0.2) ? 3 : 0, 2);
        break;
      default: {
        const codes = codesFor(random);
        const own = random.chance(0.1) ? [...oddOwnLengths(random)] : undefined;
        const tail = random.chance(0.15) ? [[random.pick([16, 17, 18]), random.below(4)] as const] : [];
        writeDynamicHeader(writer, isFinal, codes, own, tail);
        const [tokens, length] = tokensFor(random, codes, made);
        writeTokens(writer, tokens, codes, () => random.chance(0.2));
        made += length;
      }
    }
  }
  return [writer.bytes(), made];
}

/** Code lengths of the code lengths, valid or not. */
function oddOwnLengths(random: Random): number[] {
  const lengths = new Array<number>(19).fill(0);
  switch (random.below(3)) {
    case 0:
      lengths[random.below(19)] = 1;
      return lengths;
    case 1:
      return lengths.map(() => random.below(8));
    default:
      return lengths;
  }
}

/** Mostly a complete code for some symbols; sometimes a single or no code, or an incomplete or oversubscribed one. */
function codesFor(random: Random): DynamicCodes {
  const lengthCount = random.weighed([
    [8, 257 + random.below(30)],
    [1, 287],
    [1, 288],
  ]);
  const distanceCount = random.weighed([
    [8, 1 + random.below(30)],
    [1, 31],
    [1, 32],
  ]);
  const lengthSymbols = someSymbols(random, lengthCount, random.chance(0.95) ? [END_OF_BLOCK] : []);
  return {
    lengths: lengthsFor(random, lengthCount, lengthSymbols),
    distances: lengthsFor(random, distanceCount, someSymbols(random, distanceCount, [])),
  };
}

function someSymbols(random: Random, count: number, needed: readonly number[]): number[] {
  const wanted = random.weighed([
    [1, 0],
    [2, 1],
    [2, 2],
    [6, 3 + random.below(20)],
  ]);
  const symbols = new Set(needed);
  for (let tries = 0; tries < wanted; tries += 1) {
    // zlib and libdeflate treat the last symbols differently.
    symbols.add(random.chance(0.3) ? count - 1 - random.below(Math.min(count, 4)) : random.below(count));
  }
  return [...symbols];
}

function lengthsFor(random: Random, count: number, symbols: readonly number[]): number[] {
  const lengths = new Array<number>(count).fill(0);
  const complete = completeLengths(random, symbols.length);
  for (const [index, symbol] of symbols.entries()) lengths[symbol] = complete[index]!;
  if (random.chance(0.1) && symbols.length > 0) {
    lengths[random.pick(symbols)] = random.below(16);
  }
  return lengths;
}

/** Lengths of a complete code: leaves are split until there are `count`. A single symbol gets one bit. */
function completeLengths(random: Random, count: number): number[] {
  if (count <= 1) return [1];
  const leaves = [1, 1];
  while (leaves.length < count) {
    const at = random.below(leaves.length);
    const length = leaves[at]!;
    if (length === 15) continue;
    leaves.splice(at, 1, length + 1, length + 1);
  }
  return leaves;
}

/** Symbols that the codes have, with a few invalid ones. @returns also the length that they yield */
function tokensFor(random: Random, { lengths, distances }: DynamicCodes, before: number): [Token[], number] {
  const symbols = lengths.flatMap((length, symbol) =>
    length > 0 && symbol !== END_OF_BLOCK ? [symbol] : [],
  );
  const places = distances.flatMap((length, symbol) => (length > 0 ? [symbol] : []));
  const tokens: Token[] = [];
  let made = 0;
  for (let left = random.below(40); left > 0 && symbols.length > 0; left -= 1) {
    const symbol = random.pick(symbols);
    if (symbol < END_OF_BLOCK) {
      tokens.push(symbol);
      made += 1;
      continue;
    }
    const extraBits = lengthExtraBits(symbol);
    const lengthExtra = random.below(2 ** extraBits);
    // Mostly a distance within the output so far, or one of the last symbols.
    const reachable = places.filter((place) => place < 2 * Math.log2(before + made + 1) - 1 || place > 29);
    const usable = reachable.length > 0 && random.chance(0.9) ? reachable : places;
    // If no distance has a code, the match has a distance of zero bits.
    const distance = usable.length > 0 ? random.pick(usable) : 0;
    const distanceExtra = random.below(2 ** distanceExtraBits(distance));
    tokens.push({ length: symbol, lengthExtra, distance, distanceExtra });
    made += matchLength(symbol, lengthExtra);
  }
  if (!random.chance(0.05)) tokens.push(END_OF_BLOCK);
  return [tokens, made];
}

function matchLength(symbol: number, extra: number): number {
  if (symbol >= 285) return 258;
  const bits = lengthExtraBits(symbol);
  return (symbol < 265 ? symbol - 254 : 3 + ((4 + ((symbol - 265) & 3)) << bits)) + extra;
}
