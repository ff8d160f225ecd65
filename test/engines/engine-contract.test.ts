/** The contract that every engine fulfils, with any library. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CompressionType } from '../../src/compression-type.js';
import type { CompressorChoice, Decompressor, EngineName, InflatingEngine } from '../../src/engines/codec.js';
import { createCompressor, createDecompressor } from '../../src/engines/create-engine.js';
import { chooseCompressor } from '../../src/engines/engine-choice.js';
import { hasNodeZstd } from '../../src/engines/node-zstd.js';
import { CLUSTER, CLUSTERS, randomBytes, records, text } from './samples.js';

const corrupt = expect.objectContaining({ name: 'Qcow2cError', code: 'ERR_CORRUPT' });

const NODE_ZSTD = hasNodeZstd() ? (['node'] as const) : [];
const COMPRESSORS: readonly (readonly [
  string,
  CompressionType,
  EngineName,
  12 | 15,
  readonly [lowest: number, highest: number],
])[] = [
  ['isal', 'zlib', 'isal', 15, [0, 2]],
  ['libdeflate', 'zlib', 'libdeflate', 15, [1, 12]],
  ['node zlib', 'zlib', 'node', 15, [1, 9]],
  ['node zlib with a window of 12 bits', 'zlib', 'node', 12, [1, 9]],
  ['libzstd', 'zstd', 'libzstd', 15, [1, 19]],
  ...NODE_ZSTD.map((engine) => ['node zstd', 'zstd', engine, 15, [1, 19]] as const),
];

const reader = (name: string, type: CompressionType, engine: InflatingEngine) =>
  [name, type, () => createDecompressor({ type, engine })] as const;

const READERS: readonly (readonly [string, CompressionType, () => Promise<Decompressor>])[] = [
  reader('libdeflate', 'zlib', 'libdeflate'),
  reader('node', 'zlib', 'node'),
  reader('libzstd', 'zstd', 'libzstd'),
  ...NODE_ZSTD.map((engine) => reader('node', 'zstd', engine)),
];

/** Runs `use` with a compressor and frees it. */
async function withCompressor<T>(
  choice: CompressorChoice,
  use: (compress: (input: Uint8Array, room?: number) => Uint8Array | undefined) => T,
): Promise<T> {
  const compressor = await createCompressor(choice);
  try {
    return use((input, room = input.length + 1024) => {
      const output = new Uint8Array(room);
      const length = compressor.compress(input, output);
      return length === 0 ? undefined : output.slice(0, length);
    });
  } finally {
    compressor.free();
  }
}

function inflated(reader: Decompressor, stream: Uint8Array, length: number): Uint8Array {
  const output = new Uint8Array(length);
  reader.decompress(stream, output);
  return output;
}

/** The same as toEqual, without walking each byte through the matchers. */
function expectSame(found: Uint8Array | undefined, expected: Uint8Array | undefined, where?: string): void {
  expect(found !== undefined && expected !== undefined && Buffer.compare(found, expected), where).toBe(0);
}

/** Long runs, repeats and noise, as fast-check likes to mix and shrink them. */
const structured = fc
  .array(
    fc.oneof(
      fc.tuple(fc.nat(255), fc.integer({ min: 1, max: 5000 })).map(([b, n]) => new Uint8Array(n).fill(b)),
      fc.tuple(fc.nat(), fc.integer({ min: 1, max: 5000 })).map(([seed, n]) => randomBytes(n, seed)),
      fc.tuple(fc.nat(), fc.integer({ min: 1, max: 5000 })).map(([seed, n]) => text(n, seed)),
    ),
    { minLength: 1, maxLength: 12 },
  )
  .map((pieces) => new Uint8Array(Buffer.concat(pieces)));

describe.each(COMPRESSORS)('%s', (_, type, engine, windowBits, [lowestLevel, highestLevel]) => {
  const readers: (readonly [string, Decompressor])[] = [];
  beforeAll(async () => {
    for (const [name, read, create] of READERS) if (read === type) readers.push([name, await create()]);
  });
  afterAll(() => {
    for (const [, reader] of readers) reader.free();
  });
  const choose = (level?: number) => chooseCompressor({ type, engine, windowBits, level });

  test.each(CLUSTERS)(
    '%s are restored by every decompressor, at the lowest, default and highest level',
    async (__, cluster) => {
      for (const level of [lowestLevel, undefined, highestLevel]) {
        const stream = await withCompressor(await choose(level), (compress) => compress(cluster));
        for (const [name, reader] of readers) {
          expectSame(inflated(reader, stream!, cluster.length), cluster, name);
        }
      }
    },
  );

  test('any bytes are restored by every decompressor', async () => {
    const choice = await choose();
    await withCompressor(choice, (compress) => {
      fc.assert(
        fc.property(fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 2000 }), structured), (bytes) => {
          const stream = compress(bytes)!;
          for (const [name, reader] of readers) {
            expectSame(inflated(reader, stream, bytes.length), bytes, name);
          }
        }),
        { numRuns: 60 },
      );
    });
  });

  test('the result does not depend on earlier clusters, at every level', async () => {
    // Above and below 16 KiB, where zstd's parameters differ.
    const clusters = [text(20000), records(4096), randomBytes(20000), text(4096, 7)];
    for (let level = lowestLevel; level <= highestLevel; level += 1) {
      const choice = await choose(level);
      const fresh = await Promise.all(
        clusters.map((cluster) => withCompressor(choice, (compress) => compress(cluster))),
      );
      await withCompressor(choice, (compress) => {
        for (const index of [0, 3, 1, 2, 0, 1]) {
          expectSame(compress(clusters[index]!), fresh[index], `level ${level}, cluster ${index}`);
          // One that does not fit is given up half way; that must not show either.
          expect(compress(clusters[(index + 1) % 4]!, 16)).toBeUndefined();
        }
      });
    }
  });

  test('a result that does not fit gives 0, and extra room changes nothing', async () => {
    await withCompressor(await choose(), (compress) => {
      expect(compress(randomBytes(CLUSTER), CLUSTER - 1)).toBeUndefined();
      for (const cluster of [text(CLUSTER), records(CLUSTER)]) {
        const stream = compress(cluster)!;
        expect(compress(cluster, stream.length - 1)).toBeUndefined();
        // libdeflate fills all but the last few bytes of its room.
        expectSame(compress(cluster, stream.length + 16), stream);
        expectSame(compress(cluster, CLUSTER - 1), stream);
      }
    });
  });

  test('no byte is written outside the output, and input and output may be shared memory', async () => {
    const memory = new Uint8Array(new SharedArrayBuffer(4 * CLUSTER)).fill(0xee);
    const input = memory.subarray(100, 100 + CLUSTER);
    input.set(text(CLUSTER));
    const output = memory.subarray(CLUSTER + 301, 2 * CLUSTER + 300);
    const compressor = await createCompressor(await choose());
    const length = compressor.compress(input, output);
    expect(compressor.compress(randomBytes(CLUSTER), memory.subarray(3 * CLUSTER, 3 * CLUSTER + 99))).toBe(0);
    compressor.free();
    const back = memory.subarray(2 * CLUSTER + 350, 3 * CLUSTER + 350);
    for (const [name, reader] of readers) {
      back.fill(0);
      reader.decompress(output.subarray(0, length), back);
      expectSame(back, input, name);
    }
    for (const [from, to] of [
      [0, 100],
      [100 + CLUSTER, CLUSTER + 301],
      [2 * CLUSTER + 300, 2 * CLUSTER + 350],
      [3 * CLUSTER + 350, 4 * CLUSTER],
    ] as const) {
      expect(
        memory.subarray(from, to).every((byte) => byte === 0xee),
        `${from} to ${to}`,
      ).toBe(true);
    }
  });
});

describe.each(READERS)('%s as a reader of %s', async (_, type, create) => {
  let reader: Decompressor;
  beforeAll(async () => {
    reader = await create();
  });
  afterAll(() => reader.free());
  const cluster = text(CLUSTER);
  const stream = (await withCompressor(await chooseCompressor({ type }), (compress) => compress(cluster)))!;

  test('bytes after the stream are ignored: zeros, noise or another stream', () => {
    for (const rest of [new Uint8Array(511), randomBytes(511), stream, stream.subarray(0, 300)]) {
      const padded = new Uint8Array(Buffer.concat([stream, rest]));
      expectSame(inflated(reader, padded, CLUSTER), cluster);
    }
  });

  test('a stream for more or fewer bytes than a cluster is corrupt', () => {
    for (const length of [1, 512, CLUSTER - 1, CLUSTER + 1, 2 * CLUSTER]) {
      expect(() => inflated(reader, stream, length), `${length} bytes`).toThrow(corrupt);
    }
  });

  test('a stream truncated anywhere is corrupt', () => {
    const lengths = [0, 1, 2, 3, 5, 8, 100, stream.length >> 1, stream.length - 2, stream.length - 1];
    for (const length of lengths) {
      expect(() => inflated(reader, stream.subarray(0, length), CLUSTER), `${length} bytes`).toThrow(corrupt);
    }
  });

  test('bytes without a stream are corrupt', () => {
    for (const bytes of [new Uint8Array(1000), new Uint8Array(1000).fill(0xff), randomBytes(1000, 3)]) {
      expect(() => inflated(reader, bytes, CLUSTER)).toThrow(corrupt);
    }
  });

  test('a small stream that yields far more than a cluster is corrupt', async () => {
    const bomb = await withCompressor(await chooseCompressor({ type }), (compress) =>
      compress(new Uint8Array(16 * 2 ** 20)),
    );
    expect(bomb!.length).toBeLessThan(32768);
    expect(() => inflated(reader, bomb!, CLUSTER)).toThrow(corrupt);
  });

  test('for any damaged bytes the decompressor returns a cluster or throws ERR_CORRUPT, and stays usable', () => {
    const guarded = new Uint8Array(CLUSTER + 200).fill(0xee);
    const output = guarded.subarray(100, 100 + CLUSTER);
    const damage = fc.array(fc.tuple(fc.nat(stream.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(damage, (places) => {
        const damaged = stream.slice();
        for (const [at, byte] of places) damaged[at] = byte;
        try {
          reader.decompress(damaged, output);
        } catch (error) {
          expect(error).toEqual(corrupt);
        }
        expect(guarded.subarray(0, 100).every((byte) => byte === 0xee)).toBe(true);
        expect(guarded.subarray(100 + CLUSTER).every((byte) => byte === 0xee)).toBe(true);
      }),
      { numRuns: 60 },
    );
    expectSame(inflated(reader, stream, CLUSTER), cluster);
  });
});

describe.each(READERS)('%s as a reader of %s', (_, type, create) => {
  test('returns the exact length of any stream, with any bytes after it', async () => {
    const reader = await create();
    await withCompressor(await chooseCompressor({ type }), (compress) => {
      fc.assert(
        fc.property(structured, fc.uint8Array({ maxLength: 700 }), (bytes, rest) => {
          const exact = compress(bytes)!;
          const output = new Uint8Array(bytes.length);
          expect(reader.decompress(exact, output)).toBe(exact.length);
          const padded = new Uint8Array(Buffer.concat([exact, rest]));
          expect(reader.decompress(padded, output)).toBe(exact.length);
          // No byte can be spared: what was told is the whole stream.
          expect(() => reader.decompress(exact.subarray(0, -1), output)).toThrow(corrupt);
        }),
        { numRuns: 60 },
      );
    });
    reader.free();
  });
});
