/** Compares the deflate decoder with zlib: accepted streams, output, and largest distance. */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCompressor } from '../../src/engines/create-engine.js';
import { DeflateDecoder } from '../../src/engines/deflate-decoder.js';
import { chooseCompressor } from '../../src/engines/engine-choice.js';
import { shortened, tries } from '../stage.js';
import { BitWriter } from './deflate-writer.js';
import { CLUSTERS, joined, randomBytes, records, text } from './samples.js';

const decoder = new DeflateDecoder();
const farthest = (bytes: Uint8Array, length: number) =>
  decoder.decode(bytes, new Uint8Array(length)).farthest;

/** A fixed block's literal, match or end: section 3.2.6, the codes of 0 to 143, 256 to 279 and 280 to 287. */
function fixedSymbol(writer: BitWriter, symbol: number): void {
  if (symbol < 144) writer.code(0x30 + symbol, 8);
  else if (symbol < 280) writer.code(symbol - 256, 7);
  else writer.code(0xc0 + symbol - 280, 8);
}

/** `distance` with its symbol and extra bits: section 3.2.5. */
function writeDistance(writer: BitWriter, distance: number): void {
  const extra = Math.max(0, Math.floor(Math.log2(Math.max(1, distance - 1))) - 1);
  writer.code(2 * extra + ((distance - 1) >> extra), 5);
  writer.number((distance - 1) & (2 ** extra - 1), extra);
}

/** Stored bytes, then a fixed block that repeats three of them from each of these distances. */
function stream(stored: number, distances: readonly number[]): Uint8Array {
  const head = Uint8Array.of(0, stored & 0xff, stored >> 8, ~stored & 0xff, (~stored >> 8) & 0xff);
  const writer = new BitWriter();
  writer.number(1, 1);
  writer.number(1, 2);
  for (const distance of distances) {
    fixedSymbol(writer, 257);
    writeDistance(writer, distance);
  }
  fixedSymbol(writer, 256);
  return joined(head, randomBytes(stored), writer.bytes());
}

/** What zlib makes of a stream that is to yield `length` bytes; undefined: something else. */
function inflated(bytes: Uint8Array, length: number): Buffer | undefined {
  try {
    const output = inflateRawSync(bytes, { maxOutputLength: Math.max(1, length) });
    return output.length === length ? output : undefined;
  } catch {
    return undefined;
  }
}

const isTakenByZlib = (bytes: Uint8Array, length: number) => inflated(bytes, length) !== undefined;

/** Whether the decoder takes a stream to its end; then it makes of it what zlib makes. */
function isDecoded(bytes: Uint8Array, length: number): boolean {
  const output = new Uint8Array(length);
  const { end, made } = decoder.decode(bytes, output);
  if (end !== 'final' || made !== length) return false;
  if (inflated(bytes, length)?.equals(output) !== true) throw new Error('zlib makes other bytes of it');
  return true;
}

describe('the farthest distance', () => {
  test('is that of the farthest match', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 32768 }), { maxLength: 40 }), (distances) => {
        const bytes = stream(32768, distances);
        const length = 32768 + 3 * distances.length;
        expect(isTakenByZlib(bytes, length)).toBe(true);
        expect(farthest(bytes, length)).toBe(Math.max(0, ...distances));
      }),
      { numRuns: tries(200) },
    );
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 24576, 24577, 32767, 32768])('is exact: %i', (distance) => {
    expect(farthest(stream(32768, [distance]), 32771)).toBe(distance);
  });

  test('may reach before the start of a block, but not before the start of the stream', () => {
    expect(farthest(stream(100, [100]), 103)).toBe(100);
    expect(isDecoded(stream(100, [101]), 103)).toBe(false);
  });

  test.each([9, 10, 11, 12, 13, 14, 15])('is within the window of %i bits set for zlib', (windowBits) => {
    const body = joined(randomBytes(2 ** windowBits - 300), randomBytes(2 ** windowBits - 300));
    const found = farthest(deflateRawSync(body, { windowBits, level: 9 }), body.length);
    expect(found).toBe(2 ** windowBits - 300);
    for (const [, cluster] of CLUSTERS) {
      const deflated = deflateRawSync(cluster, { windowBits });
      expect(farthest(deflated, cluster.length)).toBeLessThanOrEqual(2 ** windowBits);
    }
  });

  test('is 0 for bytes without a repetition', () => {
    expect(farthest(deflateRawSync(randomBytes(1000)), 1000)).toBe(0);
    expect(farthest(deflateRawSync(text(1000), { strategy: constants.Z_HUFFMAN_ONLY }), 1000)).toBe(0);
    expect(farthest(deflateRawSync(new Uint8Array(0)), 0)).toBe(0);
  });
});

describe('exactly the streams that zlib accepts are decoded completely', () => {
  test.each(CLUSTERS)('%s, as zlib and libdeflate compress it', async (_, cluster) => {
    const streams = [1, 6, 9].map((level) => deflateRawSync(cluster, { level }));
    streams.push(
      deflateRawSync(cluster, { level: 0 }),
      deflateRawSync(cluster, { strategy: constants.Z_FIXED }),
    );
    for (const level of [1, 6, 12]) {
      const compressor = await createCompressor(
        await chooseCompressor({ type: 'zlib', engine: 'libdeflate', level }),
      );
      const output = Buffer.alloc(2 * cluster.length);
      streams.push(output.subarray(0, compressor.compress(cluster, output)));
      compressor.free();
    }
    for (const bytes of streams) {
      expect(isDecoded(bytes, cluster.length)).toBe(true);
      expect(isDecoded(joined(bytes, randomBytes(600)), cluster.length)).toBe(true);
      expect(isDecoded(bytes.subarray(0, -1), cluster.length)).toBe(false);
      expect(isDecoded(bytes, cluster.length - 1)).toBe(false);
      expect(isDecoded(bytes, cluster.length + 1)).toBe(false);
    }
  });

  const body = joined(text(150), records(150), new Uint8Array(300), randomBytes(15));
  test.each(
    shortened(
      [
        ['dynamic', deflateRawSync(body)],
        ['Huffman only', deflateRawSync(body, { strategy: constants.Z_HUFFMAN_ONLY })],
        ['fixed', deflateRawSync(body, { strategy: constants.Z_FIXED })],
        ['stored', deflateRawSync(body, { level: 0 })],
        ['empty blocks before', joined(Uint8Array.of(0, 0, 0, 255, 255, 2, 0), deflateRawSync(body))],
      ] as const,
      2,
    ),
  )('%s blocks, with each bit flipped and truncated at each byte', (_, bytes) => {
    expect(isDecoded(bytes, body.length)).toBe(isTakenByZlib(bytes, body.length));
    const wrong: string[] = [];
    const judge = (what: string, changed: Uint8Array) => {
      if (isDecoded(changed, body.length) !== isTakenByZlib(changed, body.length)) wrong.push(what);
    };
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      judge(`bit ${bit}`, flipped);
    }
    for (let length = 0; length < bytes.length; length += 1)
      judge(`cut to ${length}`, bytes.subarray(0, length));
    expect(wrong).toEqual([]);
  });

  test('the code lengths of a dynamic block end at the declared number', () => {
    /** One letter and the end of the block, of one bit each; the last lengths are `times` zeros. */
    const dynamic = (times: 1 | 3) => {
      const writer = new BitWriter();
      for (const [value, bits] of [
        [1, 1],
        [2, 2],
        [0, 5],
        [0, 5],
        [14, 4],
      ] as const)
        writer.number(value, bits);
      // Section 3.2.7: codes of two bits for 17, 18, 0 and 1.
      for (const length of [0, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]) writer.number(length, 3);
      const zeros = (count: number) => {
        writer.code(3, 2);
        writer.number(count - 11, 7);
      };
      zeros(97);
      writer.code(1, 2);
      zeros(138);
      zeros(20);
      writer.code(1, 2);
      if (times === 1) writer.code(0, 2);
      else {
        writer.code(2, 2);
        writer.number(0, 3);
      }
      for (const bit of [0, 0, 0, 1]) writer.code(bit, 1);
      return writer.bytes();
    };
    expect([isTakenByZlib(dynamic(1), 3), isDecoded(dynamic(1), 3)]).toEqual([true, true]);
    expect([isTakenByZlib(dynamic(3), 3), isDecoded(dynamic(3), 3)]).toEqual([false, false]);
  });

  test('streams with several changed bytes', () => {
    const streams = [deflateRawSync(body), deflateRawSync(body, { strategy: constants.Z_RLE })];
    fc.assert(
      fc.property(
        fc.constantFrom(...streams),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (bytes, changes) => {
          const changed = Uint8Array.from(bytes);
          for (const [at, value] of changes) changed[at % 60] = value;
          expect(isDecoded(changed, body.length)).toBe(isTakenByZlib(changed, body.length));
        },
      ),
      { numRuns: tries(2000) },
    );
  });

  test('random bytes, which are sometimes a valid stream', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 80 }), (bytes) => {
        let length = 0;
        try {
          length = inflateRawSync(bytes).length;
        } catch {
          expect(isDecoded(bytes, 0)).toBe(false);
          return;
        }
        expect(isDecoded(bytes, length)).toBe(true);
      }),
      { numRuns: tries(3000) },
    );
  });
});

test('hundreds of thousands of empty blocks are skipped', () => {
  // Four empty fixed blocks are five bytes: in a payload of two clusters some hundred thousand of them.
  const writer = new BitWriter();
  for (let block = 0; block < 4; block += 1) {
    writer.number(2, 3);
    writer.code(0, 7);
  }
  const four = writer.bytes();
  const blocks = Buffer.alloc(25_000 * four.length);
  for (let at = 0; at < blocks.length; at += four.length) blocks.set(four, at);
  const bytes = joined(blocks, deflateRawSync(Buffer.alloc(65536)));
  const output = new Uint8Array(65536);
  expect(decoder.decode(bytes, output)).toMatchObject({ end: 'final', made: 65536 });
});
