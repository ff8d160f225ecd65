/**
 * The levels of one context; and frames that others write: without a content size, with a checksum, in several blocks, or
 * no plain frame.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Compressor } from '../../src/engines/codec.js';
import {
  LIBZSTD_SYMBOL,
  LibzstdCompressor,
  LibzstdDecompressor,
  libzstdVersion,
} from '../../src/engines/libzstd.js';
import { LIBZSTD_NAMES, loadNativeLibrary } from '../../src/engines/native-library.js';
import { readZstdFrame } from '../../src/engines/zstd-frame.js';
import { randomBytes, records, text } from './samples.js';
import { zstdFrame as frame } from './zstd-frames.js';

const library = (await loadNativeLibrary(LIBZSTD_NAMES, LIBZSTD_SYMBOL))!;
const decompressor = new LibzstdDecompressor(library);

/** ZSTD_cParameter of zstd.h. */
const [CONTENT_SIZE_FLAG, CHECKSUM_FLAG] = [200, 201];

const CLUSTER = text(2 ** 18);
const FRAMES: readonly (readonly [string, Uint8Array])[] = [
  ['a plain frame', frame(CLUSTER, [])],
  ['a frame without a content size', frame(CLUSTER, [[CONTENT_SIZE_FLAG, 0]])],
  ['a frame with a checksum', frame(CLUSTER, [[CHECKSUM_FLAG, 1]])],
  [
    'a frame with a checksum and without a content size',
    frame(CLUSTER, [
      [CONTENT_SIZE_FLAG, 0],
      [CHECKSUM_FLAG, 1],
    ]),
  ],
];

test.each(FRAMES)('%s is read, with any bytes after it', (_, bytes) => {
  const output = new Uint8Array(CLUSTER.length);
  for (const rest of [new Uint8Array(0), new Uint8Array(300), randomBytes(300), bytes]) {
    output.fill(0);
    decompressor.decompress(Buffer.concat([bytes, rest]), output);
    expect(Buffer.compare(output, CLUSTER)).toBe(0);
  }
});

test.each(FRAMES)('%s has the end that libzstd and RFC 8878 define', (_, bytes) => {
  expect(readZstdFrame(Buffer.concat([bytes, bytes])).length).toBe(bytes.length);
});

test.each(FRAMES)('%s that yields more or fewer bytes than a cluster is corrupt', (_, bytes) => {
  for (const length of [4096, CLUSTER.length - 1, CLUSTER.length + 1]) {
    expect(() => decompressor.decompress(bytes, new Uint8Array(length))).toThrow(
      expect.objectContaining({ code: 'ERR_CORRUPT' }),
    );
  }
});

test('a wrong checksum is corrupt', () => {
  const bytes = frame(CLUSTER, [[CHECKSUM_FLAG, 1]]);
  bytes[bytes.length - 1]! ^= 1;
  expect(() => decompressor.decompress(bytes, new Uint8Array(CLUSTER.length))).toThrow(
    expect.objectContaining({ code: 'ERR_CORRUPT', message: expect.stringContaining('checksum') }),
  );
});

test('the library reports its version', () => {
  expect(libzstdVersion(library)).toMatch(/^1\.\d+\.\d+$/);
});

const compressed = (compressor: Compressor, cluster: Uint8Array) => {
  const output = new Uint8Array(cluster.length);
  return output.subarray(0, compressor.compress(cluster, output));
};

test('levels that share a context give what each gives alone', () => {
  const tableLog = 17;
  const first = new LibzstdCompressor(library, 2, tableLog);
  const sharing = [first, first.atLevel(3), first.atLevel(4)];
  const clusters = [text(65536), records(65536), randomBytes(65536), text(131_072, 3)];
  for (const index of [0, 2, 1, 1, 0, 2, 0]) {
    for (const cluster of clusters) {
      const alone = new LibzstdCompressor(library, index + 2, tableLog);
      expect(Buffer.compare(compressed(sharing[index]!, cluster), compressed(alone, cluster))).toBe(0);
      alone.free();
      // One that does not fit is given up half way.
      expect(sharing[(index + 1) % 3]!.compress(cluster, new Uint8Array(100))).toBe(0);
    }
  }
  first.free();
});

test('larger tables make smaller payloads', () => {
  const plain = new LibzstdCompressor(library, 2);
  const large = new LibzstdCompressor(library, 2, 17);
  const code = readFileSync(process.execPath).subarray(2 ** 24, 2 ** 24 + 65536);
  expect(compressed(large, code).length).toBeLessThan(compressed(plain, code).length);
  plain.free();
  large.free();
});

test('a table that libzstd does not offer is an error', () => {
  expect(() => new LibzstdCompressor(library, 2, 99)).toThrow(
    expect.objectContaining({ code: 'ERR_ENGINE' }),
  );
});
