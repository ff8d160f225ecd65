/** The walk over deflate symbols beside zlib: what it takes, what it refuses, how far it says a stream looks back. */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeflateWindow } from '../../src/compress/deflate-window.js';
import { chooseCompressor, createCompressor } from '../../src/compress/engines.js';
import { CLUSTERS, joined, randomBytes, records, text } from './samples.js';

const walker = new DeflateWindow();

/** Writes the blocks of a stream bit by bit: RFC 1951, section 3.1.1. */
class BitWriter {
  readonly #bits: number[] = [];

  /** A number: its lowest bit first. */
  number(value: number, bits: number): void {
    for (let bit = 0; bit < bits; bit += 1) this.#bits.push((value >> bit) & 1);
  }

  /** A code: its highest bit first. */
  code(value: number, bits: number): void {
    for (let bit = bits - 1; bit >= 0; bit -= 1) this.#bits.push((value >> bit) & 1);
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(Math.ceil(this.#bits.length / 8));
    for (const [index, bit] of this.#bits.entries()) bytes[index >> 3]! |= bit << (index & 7);
    return bytes;
  }
}

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

/** zlib's verdict on a stream that is to yield `length` bytes. */
function isTakenByZlib(bytes: Uint8Array, length: number): boolean {
  try {
    return inflateRawSync(bytes, { maxOutputLength: length }).length === length;
  } catch {
    return false;
  }
}

function isWalked(bytes: Uint8Array, length: number): boolean {
  try {
    walker.farthest(bytes, length);
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: 'ERR_CORRUPT', reason: 'the deflate stream is broken' });
    return false;
  }
}

describe('the farthest distance', () => {
  test('is the largest of any match', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 32768 }), { maxLength: 40 }), (distances) => {
        const bytes = stream(32768, distances);
        const length = 32768 + 3 * distances.length;
        expect(isTakenByZlib(bytes, length)).toBe(true);
        expect(walker.farthest(bytes, length)).toBe(Math.max(0, ...distances));
      }),
      { numRuns: 200 },
    );
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 24576, 24577, 32767, 32768])('is told exactly: %i', (distance) => {
    expect(walker.farthest(stream(32768, [distance]), 32771)).toBe(distance);
  });

  test('is found before the start of a block too, and refused before the start of the stream', () => {
    expect(walker.farthest(stream(100, [100]), 103)).toBe(100);
    expect(isWalked(stream(100, [101]), 103)).toBe(false);
  });

  test.each([9, 10, 11, 12, 13, 14, 15])('is in the window of %i bits that zlib was given', (windowBits) => {
    const body = joined(randomBytes(2 ** windowBits - 300), randomBytes(2 ** windowBits - 300));
    const farthest = walker.farthest(deflateRawSync(body, { windowBits, level: 9 }), body.length);
    expect(farthest).toBe(2 ** windowBits - 300);
    for (const [, cluster] of CLUSTERS) {
      const deflated = deflateRawSync(cluster, { windowBits });
      expect(walker.farthest(deflated, cluster.length)).toBeLessThanOrEqual(2 ** windowBits);
    }
  });

  test('of bytes without a repetition is 0', () => {
    expect(walker.farthest(deflateRawSync(randomBytes(1000)), 1000)).toBe(0);
    expect(walker.farthest(deflateRawSync(text(1000), { strategy: constants.Z_HUFFMAN_ONLY }), 1000)).toBe(0);
    expect(walker.farthest(deflateRawSync(new Uint8Array(0)), 0)).toBe(0);
  });
});

describe('what zlib takes is walked to its end, and nothing else', () => {
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
      expect(isWalked(bytes, cluster.length)).toBe(true);
      expect(isWalked(joined(bytes, randomBytes(600)), cluster.length)).toBe(true);
      expect(isWalked(bytes.subarray(0, -1), cluster.length)).toBe(false);
      expect(isWalked(bytes, cluster.length - 1)).toBe(false);
      expect(isWalked(bytes, cluster.length + 1)).toBe(false);
    }
  });

  const body = joined(text(300), records(300), new Uint8Array(300), randomBytes(30));
  test.each([
    ['dynamic', deflateRawSync(body)],
    ['Huffman only', deflateRawSync(body, { strategy: constants.Z_HUFFMAN_ONLY })],
    ['fixed', deflateRawSync(body, { strategy: constants.Z_FIXED })],
    ['stored', deflateRawSync(body, { level: 0 })],
    ['empty blocks before', joined(Uint8Array.of(0, 0, 0, 255, 255, 2, 0), deflateRawSync(body))],
  ])('%s blocks, with each bit turned over and cut at each byte', (_, bytes) => {
    expect(isWalked(bytes, body.length)).toBe(isTakenByZlib(bytes, body.length));
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(isWalked(flipped, body.length), `bit ${bit}`).toBe(isTakenByZlib(flipped, body.length));
    }
    for (let length = 0; length < bytes.length; length += 1) {
      const cut = bytes.subarray(0, length);
      expect(isWalked(cut, body.length), `cut to ${length}`).toBe(isTakenByZlib(cut, body.length));
    }
  });

  test('the code lengths of a dynamic block end where it says', () => {
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
    expect([isTakenByZlib(dynamic(1), 3), isWalked(dynamic(1), 3)]).toEqual([true, true]);
    expect([isTakenByZlib(dynamic(3), 3), isWalked(dynamic(3), 3)]).toEqual([false, false]);
  });

  test('streams with several bytes exchanged', () => {
    const streams = [deflateRawSync(body), deflateRawSync(body, { strategy: constants.Z_RLE })];
    fc.assert(
      fc.property(
        fc.constantFrom(...streams),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (bytes, changes) => {
          const changed = Uint8Array.from(bytes);
          for (const [at, value] of changes) changed[at % 60] = value;
          expect(isWalked(changed, body.length)).toBe(isTakenByZlib(changed, body.length));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('random bytes, which are a stream of some length now and then', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 80 }), (bytes) => {
        let length = 0;
        try {
          length = inflateRawSync(bytes).length;
        } catch {
          expect(isWalked(bytes, 0)).toBe(false);
          return;
        }
        expect(isWalked(bytes, length)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });
});
