import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Compressor } from '../../src/engines/codec.js';
import { DEFLATE_LEVELS } from '../../src/engines/deflate-levels.js';
import { LEVEL_STEPS, LevelByContent, levelStepOf } from '../../src/engines/level-by-content.js';
import { ZSTD_LEVELS } from '../../src/engines/zstd-levels.js';
import { databaseCluster } from './database-cluster.js';
import { RARE_CLUSTERS } from './rare-clusters.js';
import { CLUSTER, joined, randomBytes, records, text } from './samples.js';

const code = readFileSync(process.execPath).subarray(2 ** 24, 2 ** 24 + CLUSTER);
const repeated = (line: string) => Buffer.alloc(CLUSTER, line);
/** As a measured value is stored: every byte but the highest is noise, the highest hardly changes. */
const numbers = randomBytes(CLUSTER).map((byte, at) => (at % 2 === 0 ? byte : 0xc0 + (byte & 3)));

const noise = randomBytes(8 * CLUSTER);
/** Words of all letters, which are about equally frequent. */
const letters = Uint8Array.from({ length: CLUSTER }, (_, at) =>
  noise[at]! % 6 === 0 ? 32 : 58 + (noise[at + CLUSTER]! % 68),
);
/** Every fourth byte is zero, and none of the others is a letter. */
const words = noise
  .subarray(0, CLUSTER)
  .map((byte, at) => (at % 4 === 3 ? 0 : byte >= 32 && byte < 127 ? byte + 128 : byte));
/** As in a picture with noise: most are near the middle, and none tells the next. */
const brightnesses = Uint8Array.from({ length: CLUSTER }, (_, at) => {
  const dice = noise.subarray(8 * at, 8 * at + 8);
  return 128 + (dice.reduce((sum, byte) => sum + byte, 0) - 1020) / 14;
});
/** As a table has them: a time, a small count, a measured value. */
const tables = new Uint8Array(
  Float64Array.from({ length: CLUSTER / 8 }, (_, at) =>
    at % 3 === 0 ? 1_700_000_000 + at : at % 3 === 1 ? noise[at]! : Math.fround(noise[at]! / 8),
  ).buffer,
);
const decimals = new Uint8Array(
  Float64Array.from({ length: CLUSTER / 8 }, (_, at) => (2000 + noise[at]!) / 100).buffer,
);
/** As ELF has them: a place, a type, a sum, of 64 bits each. */
const relocations = new Uint8Array(
  BigInt64Array.from({ length: CLUSTER / 8 }, (_, at) =>
    at % 3 === 0 ? 0x3d1101n + 8n * BigInt(at) : at % 3 === 1 ? 8n : 0x10101n + 257n * BigInt(noise[at]!),
  ).buffer,
);
/** Of 64 bits, in one module of a program. */
const addresses = Uint8Array.from({ length: CLUSTER }, (_, at) => {
  const dice = noise[at]!;
  return [dice | 0x80, dice & 0x1f, 0x90 + (dice & 1)][at % 8] ?? 0;
});
const channels = new Uint8Array(
  Int16Array.from({ length: CLUSTER / 2 }, (_, at) => 2000 * Math.sin(at / 180) + noise[at & ~1]! / 8).buffer,
);
/** Each repeated a little, as neighbours in a map of heights are. */
const heights = new Uint8Array(
  Int16Array.from({ length: CLUSTER / 2 }, (_, at) => 300 + (noise[at >> 3]! % 16)).buffer,
);
const prices = new Uint8Array(
  Float64Array.from({ length: CLUSTER / 8 }, (_, at) => (9000 + noise[at]! + noise[at + 9]! * 8) / 100)
    .buffer,
);
/** A normal distribution, of which the upper 16 bits of 32 are kept. */
const weights = (() => {
  const exact = Float32Array.from(
    { length: CLUSTER / 2 },
    (_, at) => (brightnesses[at]! - 128 + noise[at]! / 256) / 400,
  );
  return new Uint8Array(Uint16Array.from(new Uint32Array(exact.buffer), (bits) => bits >>> 16).buffer);
})();
/** A name, a number, a fraction and a time in every document of 60 bytes. */
const documents = Uint8Array.from({ length: CLUSTER }, (_, at) => {
  const column = at % 60;
  if (column >= 40) return noise[at]! % (column < 48 ? 256 : 100);
  return Buffer.from('\x3c\0\0\0name\0\x05\0\0\0Karin\0score\0number\0\0\0time\0')[column] ?? 0;
});
/** Each byte several times in a row. */
const runs = Uint8Array.from({ length: CLUSTER }, (_, at) => noise[Math.floor(at / 10)]!);
/** 8 bits a sample, with a little noise. */
const sounds = Uint8Array.from(
  { length: CLUSTER },
  (_, at) => 128 + 24 * Math.sin(at / 30) * Math.sin(at / 2000) + (noise[at]! - 128) / 24,
);
const chinese = new Uint8Array(
  Uint16Array.from(
    { length: CLUSTER / 2 },
    (_, at) => 0x4e00 + 256 * (noise[at]! & 1) + (noise[at + 5]! * noise[at + 9]!) / 180,
  ).buffer,
);
const cyrillic = Buffer.from(
  Array.from({ length: CLUSTER / 2 }, (_, at) => String.fromCharCode(0x430 + (noise[at]! % 32))).join(''),
);
/** Of 29 bytes: a number of 56 bits, three with gaps. */
const messages = Uint8Array.from({ length: CLUSTER }, (_, at) => {
  const column = at % 29;
  return column < 7 ? noise[at]! : column % 7 < 3 ? 0 : 100 + 7 * column;
});
const hashes = Uint8Array.from({ length: CLUSTER }, (_, at) =>
  at % 40 < 34 ? '0123456789abcdef'.charCodeAt(noise[at]! % 16) : at % 40 < 37 ? noise[at]! : 0x3a,
);
/** Two coordinates, a height and a time, of 32 bits each. */
const positions = new Uint8Array(
  Int32Array.from({ length: CLUSTER / 4 }, (_, at) =>
    at % 4 === 3
      ? 1_700_000_000 + at
      : at % 4 === 2
        ? 5000 + noise[at]!
        : (at % 4) * 4e8 + at * 3000 + noise[at]! * 8,
  ).buffer,
);
/** A time, a few counts and a measured value, of 64 bits each. */
const gaps = Uint8Array.from({ length: CLUSTER }, (_, at) => {
  const dice = noise[at]!;
  const known: Readonly<Record<number, number>> = {
    1: (dice * at) & 127,
    2: 20,
    3: 3,
    9: dice & 15,
    12: dice % 12,
    14: 1,
  };
  return [0, 8, 16, 17, 18, 19, 20].includes(at % 32) ? dice : (known[at % 32] ?? 0);
});
/** Operations of a program, their registers, and constants, many of which are small. */
const operations = [
  0x48, 0x8b, 0x89, 0xe8, 0x0f, 0x85, 0x41, 0x55, 0x83, 0xc4, 0x24, 0x31, 0x74, 0x66, 0x5d, 0xc3,
];
const instructions = (length: number, zeros: number) =>
  Uint8Array.from({ length: CLUSTER }, (_, at) => {
    const dice = noise[at + CLUSTER]!;
    if (at % length < 2) return operations[dice >> 4]!;
    return at % length === 2 ? 0x40 + (dice % 0x60) : noise[at]! < zeros ? 0 : (dice * 200) >> 8;
  });
/** A customer, a time, a price and a remark. */
const order = (number: number) =>
  joined(
    Buffer.from(`Smith, Anna${noise[number]}`),
    noise.subarray(32 * number, 32 * number + 32),
    text(20, number),
  );
const person = (number: number) =>
  joined(Buffer.from(`name${1000 + number}`), noise.subarray(8 * number, 8 * number + 2), text(40, number));
const key = (number: number) =>
  Buffer.from(Buffer.from(noise.subarray(16 * number, 16 * number + 16)).toString('hex'));
const packets = joined(text(CLUSTER / 4), randomBytes((CLUSTER * 3) / 4)).map((byte, at) =>
  at % 9 === 0 ? 0 : byte,
);
/** Indented, as a source file, and the rest of its last block. */
const sourceFiles = joined(
  repeated('        if (NOT_A_WORD == Value)\n                return PointerOf(Window, ~Keys);\n').subarray(
    0,
    55_000,
  ),
  new Uint8Array(CLUSTER - 55_000),
);
describe.each<[string, Uint8Array, number, number]>([
  [
    'text of few letters',
    repeated(
      'All good books will need a little less than a full week;\t  see the  appendix (P. VI).\n' +
        '"Quite Just", Zoe Yates of Kent & Oxford Hills; But: [Gone, Home]! Did U Find X?\n',
    ),
    4,
    3,
  ],
  ['text of many letters', letters, 1, 3],
  ['prose with accents', letters.map((byte, at) => (at % 200 === 7 ? 0xe9 : byte)), 0, 3],
  ['text full of numbers', repeated('4711;2026-11-29;31.5;52.520008\n'), 6, 3],
  [
    'random bytes in Base64',
    Buffer.from(Buffer.from(randomBytes(CLUSTER)).toString('base64')).subarray(0, CLUSTER),
    0,
    3,
  ],
  ['text of four letters', repeated('GATTACACCGTAATGCCGTTAAGCTTAGGACCATG'), 4, 3],
  [
    'small numbers with gaps',
    new Uint8Array(Uint32Array.from({ length: CLUSTER / 4 }, (_, at) => 1 + (at % 31) * 0x10001).buffer),
    7,
    3,
  ],
  [
    'text with numbers',
    repeated(
      '2026-11-29 HOST app: The request "GET /A?b=c#d" (QUIC, JSON; 31 kB) took longer than 31 ms, & was tried again!\n',
    ),
    4,
    3,
  ],
  ['a block of random bytes again and again', Buffer.alloc(CLUSTER, randomBytes(3072)), 1, 2],
  ['random bytes between zeros', joined(randomBytes(CLUSTER / 2), new Uint8Array(CLUSTER / 2)), 4, 3],
  [
    'text with numbers beside random bytes',
    joined(repeated('item 5678: 31.5 ms\n').subarray(0, 30_000), randomBytes(35_536)),
    7,
    2,
  ],
  ['text beside random bytes', joined(text(CLUSTER - 20_000), randomBytes(20_000)), 4, 4],
  ['text beside records', joined(text(CLUSTER - 30_000), records(30_000)), 4, 4],
  [
    'text beside records and random bytes',
    joined(text(CLUSTER - 40_000), records(25_000), randomBytes(15_000)),
    4,
    3,
  ],
  ['text beside more random bytes', joined(text(CLUSTER - 40_000), randomBytes(40_000)), 4, 2],
  ['numbers of 16 bits', numbers, 4, 3],
  ['words that hold no text', words, 5, 3],
  ['brightnesses', brightnesses, 5, 2],
  ['lines of a list', repeated('AAAA,SAAS,CAAC,KAAK;IACH,OAAO,EAAE,CAAC'), 4, 3],
  ['words between zeros', joined(text(CLUSTER / 2), new Uint8Array(CLUSTER / 2)), 4, 3],
  ['few bytes between zeros', records(CLUSTER).map((byte, at) => (at % 8 === 0 ? byte : 0)), 0, 3],
  ['one byte value', new Uint8Array(CLUSTER).fill(0xa5), 4, 3],
  ['records of 16 bytes', records(CLUSTER), 5, 3],
  ['numbers of 64 bits in records', tables, 4, 3],
  ['decimal numbers of 64 bits', decimals, 7, 3],
  ['relocations of a program', relocations, 1, 3],
  ['addresses', addresses, 1, 3],
  ['samples of two channels', channels, 5, 4],
  ['heights', heights, 7, 3],
  ['prices', prices, 7, 4],
  ['weights of a model', weights, 0, 4],
  ['documents with names', documents, 6, 3],
  ['runs', runs, 5, 3],
  ['sounds of 8 bits', sounds, 4, 4],
  ['Chinese in UTF-16', chinese, 5, 3],
  ['Russian in UTF-8', cyrillic, 4, 3],
  ['messages of a bus', messages, 6, 3],
  ['hashes in hexadecimal', hashes, 0, 3],
  ['positions', positions, 5, 2],
  ['records with gaps', gaps, 5, 3],
  ['short instructions', instructions(4, 130), 0, 4],
  ['long instructions', instructions(6, 100), 0, 3],
  ['instructions with addresses', instructions(7, 160), 4, 3],
  ['packets', packets, 1, 3],
  ['source files', sourceFiles, 4, 3],
  ['a track', repeated('<trkpt lat="52.5200081" lon="13.4049542"><ele>34.5</ele></trkpt>\n'), 7, 3],
  [
    'a small track, and zeros to the end of its block',
    joined(
      repeated('<trkpt lat="52.5200081" lon="13.4049542"><ele>34.5</ele></trkpt>\n').subarray(0, 61_000),
      new Uint8Array(4536),
    ),
    7,
    3,
  ],
  ...RARE_CLUSTERS,
  ['orders in a database', databaseCluster(order), 5, 3],
  ['orders in a database that begins at an odd sector', databaseCluster(order, 1536), 5, 3],
  ['names and remarks in a database', databaseCluster(person), 6, 3],
  ['random keys in a database', databaseCluster(key), 1, 3],
  ['qualities', repeated(`@read:47:11 1\n${'GATTACAACCGTAATG'.repeat(4)}\n+\n${'F'.repeat(80)}\n`), 6, 3],
])('a cluster of %s', (_, cluster, deflate, zstd) => {
  test(`takes level ${deflate} of deflate and ${zstd} of zstd`, () => {
    const levels = [DEFLATE_LEVELS[levelStepOf('zlib', cluster)], ZSTD_LEVELS[levelStepOf('zstd', cluster)]];
    expect(levels).toEqual([deflate, zstd]);
  });
});

test('the level depends on the bytes of the cluster alone', () => {
  const cluster = fc
    .array(
      fc.tuple(fc.constantFrom(text, records, randomBytes), fc.nat(), fc.integer({ min: 1, max: CLUSTER })),
      {
        minLength: 1,
        maxLength: 4,
      },
    )
    .map((parts) => {
      const pieces = parts.map(([make, seed, length]) => make(length, seed));
      return joined(...pieces, code).subarray(0, CLUSTER);
    });
  fc.assert(
    fc.property(cluster, cluster, fc.nat(63), (bytes, other, offset) => {
      for (const type of ['zlib', 'zstd'] as const) {
        const step = levelStepOf(type, bytes);
        levelStepOf(type, other);
        // Between other bytes, in shared memory, after another cluster.
        const memory = new Uint8Array(new SharedArrayBuffer(2 * CLUSTER)).fill(offset);
        memory.set(bytes, offset);
        expect(levelStepOf(type, memory.subarray(offset, offset + CLUSTER))).toBe(step);
        expect(step).toBeLessThan(LEVEL_STEPS[type]);
      }
    }),
    { numRuns: 25 },
  );
});

test('large clusters are judged as their parts are', () => {
  for (const content of [text(CLUSTER), records(CLUSTER), randomBytes(CLUSTER)]) {
    const large = joined(...Array.from({ length: 32 }, () => content));
    expect(levelStepOf('zlib', large)).toBe(levelStepOf('zlib', content));
  }
});

test('each cluster goes to the compressor of its step, and all are freed', () => {
  const calls: string[] = [];
  const named = (name: number): Compressor => ({
    compress: (input, output) => {
      calls.push(`${name} ${input.length} ${output.length}`);
      return 7;
    },
    free: () => void calls.push(`${name} freed`),
  });
  const compressor = new LevelByContent('zlib', [0, 1, 2, 3].map(named));
  expect(compressor.compress(randomBytes(CLUSTER), new Uint8Array(5))).toBe(7);
  expect(compressor.compress(brightnesses, new Uint8Array(6))).toBe(7);
  expect(calls.splice(0)).toEqual([`1 ${CLUSTER} 5`, `3 ${CLUSTER} 6`]);
  compressor.free();
  expect(calls).toEqual(['0 freed', '1 freed', '2 freed', '3 freed']);
});
