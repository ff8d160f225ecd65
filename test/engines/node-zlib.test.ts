/** Tests of zlib's windows. */
import { inflateRawSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { NodeZlibCompressor, NodeZlibInflater } from '../../src/engines/node-zlib.js';
import { joined, randomBytes, text } from './samples.js';

/** A block of random bytes and, `distance` bytes on, itself again: only a window that wide sees it. */
const repeated = (distance: number) => joined(randomBytes(1024), text(distance - 1024), randomBytes(1024));

function compressed(windowBits: 12 | 15, cluster: Uint8Array): Uint8Array {
  const output = new Uint8Array(2 * cluster.length);
  return output.subarray(0, new NodeZlibCompressor(9, windowBits).compress(cluster, output));
}

test('a window of 12 bits is 4 KiB: a decompressor of 12 bits reads it, as in qemu', () => {
  for (const cluster of [repeated(8192), repeated(3000), text(65536)]) {
    const stream = compressed(12, cluster);
    // Its buffers are smaller than a window, so the reader really needs its window to find the distance.
    const read = inflateRawSync(stream, { windowBits: 12, chunkSize: 64 });
    expect(Buffer.compare(read, cluster)).toBe(0);
  }
});

test("a window of 15 bits exceeds 4 KiB: a decompressor of 12 bits refuses it, the engine's does not", () => {
  const cluster = repeated(8192);
  const stream = compressed(15, cluster);
  expect(() => inflateRawSync(stream, { windowBits: 12, chunkSize: 64 })).toThrow(/too far back/);
  const output = new Uint8Array(cluster.length);
  expect(new NodeZlibInflater().inflate(stream, output)).toBe(stream.length);
  expect(Buffer.compare(output, cluster)).toBe(0);
});

test('a repeat 8 KiB back is found with 15 bits only', () => {
  expect(compressed(12, repeated(8192)).length - compressed(15, repeated(8192)).length).toBeGreaterThan(900);
});
