/** Streams of several blocks are inflated as by zlib, with any bits between the blocks, and bad headers are refused. */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BlockwiseInflater } from '../../src/engines/blockwise-inflater.js';
import { createCompressor } from '../../src/engines/create-engine.js';
import { chooseCompressor } from '../../src/engines/engine-choice.js';
import { LIBDEFLATE_SYMBOL, LibdeflateInflater } from '../../src/engines/libdeflate.js';
import { LIBDEFLATE_NAMES, loadNativeLibrary } from '../../src/engines/native-library.js';
import { BitWriter, END_OF_BLOCK, writeDynamicHeader, writeStored, writeTokens } from './deflate-writer.js';
import { joined, randomBytes, records, text } from './samples.js';

let inflater: BlockwiseInflater;
beforeAll(async () => {
  const library = (await loadNativeLibrary(LIBDEFLATE_NAMES, LIBDEFLATE_SYMBOL))!;
  inflater = new BlockwiseInflater(new LibdeflateInflater(library));
});
afterAll(() => inflater.free());

/** Kinds of content that change, so that blocks end there. */
const BODIES = [1, 2, 3, 4, 5, 6].map((seed) =>
  joined(
    ...[text(30_000 + 777 * seed, seed), records(20_000, seed), randomBytes(3000, seed)],
    ...[text(50_000, seed + 9), records(30_000 - seed, seed), text(40_000, seed)],
  ),
);

async function byLibdeflate(body: Uint8Array, level: number): Promise<Uint8Array> {
  const compressor = await createCompressor(
    await chooseCompressor({ type: 'zlib', engine: 'libdeflate', level }),
  );
  const output = new Uint8Array(2 * body.length);
  const length = compressor.compress(body, output);
  compressor.free();
  return output.subarray(0, length);
}

const { Z_FINISH, Z_FULL_FLUSH, Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY } = constants;
const COMPRESSORS: readonly (readonly [string, (body: Uint8Array) => Promise<Uint8Array>])[] = [
  ...[1, 2, 6, 12].map(
    (level) => [`libdeflate ${level}`, (body: Uint8Array) => byLibdeflate(body, level)] as const,
  ),
  ...[5, 6, 9].map(
    (memLevel) =>
      [
        `zlib with memory level ${memLevel}`,
        async (body: Uint8Array) => deflateRawSync(body, { memLevel, strategy: Z_DEFAULT_STRATEGY }),
      ] as const,
  ),
  ['zlib, literals only', async (body) => deflateRawSync(body, { strategy: Z_HUFFMAN_ONLY })],
  [
    'zlib with empty stored blocks between',
    async (body) =>
      joined(
        deflateRawSync(body.subarray(0, 60_000), { finishFlush: Z_FULL_FLUSH }),
        deflateRawSync(body.subarray(60_000), { finishFlush: Z_FINISH }),
      ),
  ],
];

test.each(COMPRESSORS)('%s: every stream is inflated completely', async (_, compress) => {
  for (const body of BODIES) {
    const stream = await compress(body);
    expect(inflateRawSync(stream).equals(body)).toBe(true);
    const output = new Uint8Array(body.length);
    expect(inflater.inflate(joined(stream, randomBytes(300)), output)).toBe(stream.length);
    expect(Buffer.compare(output, body)).toBe(0);
    for (const length of [body.length - 1, body.length + 1]) {
      expect(inflater.inflate(stream, new Uint8Array(length)), `${length} bytes`).toBeUndefined();
    }
    expect(inflater.inflate(stream.subarray(0, -1), output)).toBeUndefined();
  }
});

describe('a second block that begins at bit', () => {
  /** Codes whose longest is all ones, which a final block's header goes on with. */
  function codes(distanceSymbols: number) {
    const lengths = new Array<number>(257).fill(0);
    [lengths[97], lengths[98], lengths[END_OF_BLOCK]] = [1, 2, 2];
    const distances = new Array<number>(distanceSymbols).fill(0);
    [distances[0], distances[1]] = [1, 1];
    return { lengths, distances };
  }

  function stream(letters: number, distanceSymbols: number): [Uint8Array, number] {
    const writer = new BitWriter();
    writeDynamicHeader(writer, false, codes(2));
    writeTokens(writer, [...new Array<number>(letters).fill(97), END_OF_BLOCK], codes(2));
    writeDynamicHeader(writer, true, codes(distanceSymbols));
    writeTokens(writer, [97, 98, 98, 97, END_OF_BLOCK], codes(distanceSymbols));
    return [writer.bytes(), letters + 4];
  }

  test.each([0, 1, 2, 3, 4, 5, 6, 7])(
    'about %i of a byte is inflated; with 32 distances it is refused',
    (letters) => {
      const [sound, length] = stream(letters, 2);
      const output = new Uint8Array(length);
      expect(inflater.inflate(sound, output)).toBe(sound.length);
      expect(inflateRawSync(sound).equals(output)).toBe(true);
      for (const distances of [31, 32]) {
        expect(inflater.inflate(stream(letters, distances)[0], output)).toBeUndefined();
      }
    },
  );
});

test('a later stored block with a wrong complement is refused', () => {
  const stream = (complement?: number) => {
    const writer = new BitWriter();
    writeStored(writer, false, text(10));
    writeStored(writer, true, text(10), complement);
    return writer.bytes();
  };
  expect(inflater.inflate(stream(), new Uint8Array(20))).toBe(30);
  expect(inflater.inflate(stream(7), new Uint8Array(20))).toBeUndefined();
});

test('streams of very many blocks are left to zlib, which is faster', () => {
  const writer = new BitWriter();
  for (let blocks = 0; blocks < 100; blocks += 1) writeStored(writer, blocks === 99, text(1));
  expect(inflater.inflate(writer.bytes(), new Uint8Array(100))).toBeUndefined();
});
