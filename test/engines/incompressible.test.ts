/** The estimate is "incompressible" exactly for data that deflate cannot shrink. */
import { createCipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { deflateRawSync, gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Compressor } from '../../src/engines/codec.js';
import { createCompressor } from '../../src/engines/create-engine.js';
import { chooseCompressor } from '../../src/engines/engine-choice.js';
import { looksIncompressible } from '../../src/engines/incompressible.js';
import { CLUSTER, joined, randomBytes, records, text } from './samples.js';

/** Large enough to give streams of many clusters; the same on every machine. */
const PROSE = text(2 ** 20);

async function compressedBy(type: 'zlib' | 'zstd', level: number): Promise<Uint8Array> {
  const compressor = await createCompressor(await chooseCompressor({ type, level }));
  const output = new Uint8Array(PROSE.length);
  const length = compressor.compress(PROSE, output);
  compressor.free();
  return output.slice(0, length);
}

const clustersOf = (bytes: Uint8Array, size: number) =>
  Array.from({ length: Math.floor(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));

describe('true', () => {
  test.each([4096, 8192, 65536, 131072, 2 ** 21])('for random clusters of %i bytes', (size) => {
    for (let seed = 1; seed <= Math.min(50, 2 ** 22 / size); seed += 1) {
      expect(looksIncompressible(randomBytes(size, seed)), `seed ${seed}`).toBe(true);
    }
  });

  test('for encrypted data', () => {
    const cipher = createCipheriv('aes-256-ctr', randomBytes(32), randomBytes(16));
    expect(looksIncompressible(cipher.update(new Uint8Array(CLUSTER)))).toBe(true);
  });

  test.each([4096, 65536])(
    'for the contents of gzip, libdeflate and zstd streams, in clusters of %i bytes',
    async (size) => {
      const streams = [gzipSync(PROSE), await compressedBy('zlib', 6), await compressedBy('zstd', 3)];
      for (const [index, stream] of streams.entries()) {
        // Past the header. A few clusters of a stream are bent enough to be tried in vain.
        const clusters = clustersOf(stream.subarray(1024), size);
        const found = clusters.filter((cluster) => looksIncompressible(cluster)).length;
        expect(found / clusters.length, `stream ${index}`).toBeGreaterThanOrEqual(0.8);
      }
    },
  );
});

describe('false', () => {
  let compressor: Compressor;
  beforeAll(async () => {
    compressor = await createCompressor(await chooseCompressor({ type: 'zlib', level: 2 }));
  });

  const noise = randomBytes(CLUSTER);
  /** The random bytes with `part` laid over them. */
  const noiseWith = (part: Uint8Array, at: number) => {
    const cluster = noise.slice();
    cluster.set(part, at);
    return cluster;
  };
  const block = randomBytes(16384, 9);
  const base64 = Buffer.from(Buffer.from(noise).toString('base64')).subarray(0, CLUSTER);

  test.each<[string, Uint8Array]>([
    ['zeros', new Uint8Array(CLUSTER)],
    ['text', text(CLUSTER)],
    ['records of a binary file', records(CLUSTER)],
    ['machine code', readFileSync(process.execPath).subarray(2 ** 24, 2 ** 24 + CLUSTER)],
    ['base64', base64],
    ['random bytes with one bit always 0', noise.map((byte) => byte & 0x7f)],
    ['random bytes with a slight bias', noise.map((byte, i) => (i % 4 === 0 ? byte & 0x1f : byte))],
    ['all byte values in order, repeatedly', noise.map((_, i) => i & 0xff)],
    ['a counter of 16 bits', noise.map((_, i) => (i & 1 ? i >> 1 : i >> 9))],
    [
      'pages of random bytes followed by base64',
      noise.map((byte, i) => (i % 4096 < 300 ? byte : base64[i]!)),
    ],
    ['one page of zeros in random bytes', noiseWith(new Uint8Array(4096), 5 * 4096)],
    [
      'two pages of hexadecimal in random bytes',
      noiseWith(Buffer.from(Buffer.from(block.subarray(0, 4096)).toString('hex')), 4096),
    ],
    ['one page of text in random bytes', noiseWith(text(4096), 11 * 4096)],
    ['the last 1 KiB zeros, as at the end of a file', noiseWith(new Uint8Array(1024), CLUSTER - 1024)],
    ['1 KiB of zeros anywhere', noiseWith(new Uint8Array(1024), 33333)],
    ['3 KiB of text that the sample misses', noiseWith(text(3000), 2 * 4096 + 768)],
    ['random bytes four times, 16 KiB apart', joined(block, block, block, block)],
    [
      'the same, slightly farther apart',
      joined(block, noise.subarray(0, 777), block, block, block).subarray(0, CLUSTER),
    ],
    ['2 KiB of random bytes, twice', noiseWith(noise.subarray(1111, 3159), 20001)],
  ])('for %s, which deflate shrinks', (_, cluster) => {
    expect(cluster.length).toBe(CLUSTER);
    const length = compressor.compress(cluster, new Uint8Array(CLUSTER - 1));
    expect(length).toBeGreaterThan(0);
    expect(length).toBeLessThan(0.99 * CLUSTER);
    expect(looksIncompressible(cluster)).toBe(false);
  });

  test('for a page of text at any position of a cluster', () => {
    for (let page = 0; page < 16; page += 1) {
      expect(looksIncompressible(noiseWith(text(4096), page * 4096)), `page ${page}`).toBe(false);
    }
  });

  test.each([512, 1024, 2048])('for clusters of %i bytes, too small for an estimate', (size) => {
    expect(looksIncompressible(randomBytes(size))).toBe(false);
  });

  test.each([4096, 8192, 32768, 2 ** 21])(
    'for clusters of %i bytes that are half text or half base64',
    (size) => {
      const half = size / 2;
      for (const part of [
        text(half),
        Buffer.from(Buffer.from(randomBytes(half)).toString('base64')).subarray(0, half),
      ]) {
        expect(looksIncompressible(joined(part, randomBytes(half)))).toBe(false);
        expect(looksIncompressible(joined(randomBytes(half), part))).toBe(false);
      }
    },
  );
});

test('the answer depends only on the bytes, not on their address or earlier calls', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(CLUSTER + 3)).subarray(3);
  const clusters = [randomBytes(CLUSTER), text(CLUSTER), randomBytes(CLUSTER, 2), new Uint8Array(CLUSTER)];
  for (const round of [0, 1, 2]) {
    for (const [index, cluster] of clusters.entries()) {
      shared.set(cluster);
      expect(looksIncompressible(shared), `round ${round}, cluster ${index}`).toBe(index % 2 === 0);
    }
  }
});

test('at most one percent of compression is lost', () => {
  // From clusters that are wholly random to ones that are a tenth text, in steps of 64 bytes, anywhere.
  const place = randomBytes(400, 5);
  for (let step = 0; step <= 100; step += 1) {
    const cluster = randomBytes(CLUSTER, step + 1);
    cluster.set(text(step * 64, step + 1), place[step]! * 220);
    const saved = 1 - deflateRawSync(cluster, { level: 9 }).length / CLUSTER;
    if (looksIncompressible(cluster)) expect(saved, `${step * 64} bytes of text`).toBeLessThan(0.015);
  }
});
