/**
 * Every corruption of a payload that these tests can make is found, unless zlib or libzstd and QEMU read the cluster
 * all the same. What that leaves: deflate has no checksum, so a change that makes another valid stream of one cluster
 * cannot be told from the stream that was written; nor can two payloads that changed places.
 */
import { writeFile } from 'node:fs/promises';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { chooseCompressor, createCompressor, createDecompressor } from '../../src/compress/engines.js';
import { text } from '../compress/samples.js';
import { zstdFrame } from '../compress/zstd-frames.js';
import { useScratch } from '../e2e/scratch.js';
import { brokenClusters, examineFile } from './examine-file.js';
import { payloadImage } from './payload-image.js';
import { qemuReads } from './qemu-reads.js';

const CLUSTER = 4096;
const path = useScratch();

const libzstd = await createDecompressor({ type: 'zstd', engine: 'libzstd', tellsLength: true });
const ones = Buffer.alloc(CLUSTER, 0xff);
/** A little text, and the same letter to the end: a payload of a hundred bytes. */
const short = Buffer.concat([text(60), Buffer.alloc(CLUSTER - 60, 'x')]);

async function byLibdeflate(cluster: Uint8Array): Promise<Buffer> {
  const choice = await chooseCompressor({ type: 'zlib', engine: 'libdeflate', level: 6 });
  const compressor = await createCompressor(choice);
  const output = new Uint8Array(2 * CLUSTER);
  const length = compressor.compress(cluster, output);
  compressor.free();
  return Buffer.from(output.subarray(0, length));
}

const DEFLATED: readonly (readonly [string, Uint8Array, Buffer])[] = [
  ['dynamic codes', short, deflateRawSync(short, { windowBits: 12, memLevel: 9 })],
  ['fixed codes', short, deflateRawSync(short, { strategy: constants.Z_FIXED })],
  ['one code of one bit', ones, deflateRawSync(ones)],
  ['many fixed lengths of 258', ones, deflateRawSync(ones, { strategy: constants.Z_FIXED })],
  ['what libdeflate makes', short, await byLibdeflate(short)],
  ['what libdeflate makes of one letter', ones, await byLibdeflate(ones)],
  ['a stored block before others', short, storedThenDeflated(short)],
];

/** Blocks of every type. */
function storedThenDeflated(cluster: Buffer): Buffer {
  const stored = Buffer.from([0, 30, 0, 225, 255, ...cluster.subarray(0, 30)]);
  return Buffer.concat([stored, deflateRawSync(cluster.subarray(30))]);
}

/** The payload with each of its bits turned over. */
function flips(payload: Buffer): Buffer[] {
  return Array.from({ length: payload.length * 8 }, (_, bit) => {
    const flipped = Buffer.from(payload);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    return flipped;
  });
}

/** The payload cut after each of its bytes but the last, with zeros in place of the rest. */
function cuts(payload: Buffer): Buffer[] {
  return Array.from({ length: payload.length }, (_, length) => {
    const cut = Buffer.alloc(payload.length);
    payload.copy(cut, 0, 0, length);
    return cut;
  });
}

/** What zlib makes of a payload that is followed by zeros; undefined unless that is one cluster. */
function inflated(payload: Buffer): Buffer | undefined {
  try {
    const output = inflateRawSync(Buffer.concat([payload, Buffer.alloc(512)]), { maxOutputLength: CLUSTER });
    return output.length === CLUSTER ? output : undefined;
  } catch {
    return undefined;
  }
}

/** What libzstd makes of a frame that is followed by zeros; undefined unless that is one cluster. */
function unpacked(payload: Buffer): Buffer | undefined {
  const output = Buffer.alloc(CLUSTER);
  try {
    libzstd.decompress(Buffer.concat([payload, Buffer.alloc(512)]), output);
    return output;
  } catch {
    return undefined;
  }
}

/** Each payload in a place of its own, with nothing behind it that could go on. */
async function examineApart(name: string, payloads: readonly Buffer[], type: 'zlib' | 'zstd') {
  const contents = payloads.map((payload) => ({
    payload: Buffer.concat([payload, Buffer.alloc(512)]).subarray(0, CLUSTER - 1),
  }));
  await writeFile(path(name), await payloadImage(contents, { clusterSize: CLUSTER, compressionType: type }));
  const examined = await examineFile(path(name));
  const broken = new Set(brokenClusters(examined, CLUSTER));
  expect(broken.size).toBe(examined.reports.length);
  expect(examined).toMatchObject({ examined: payloads.length, broken: broken.size });
  return { broken, read: await qemuReads(path(name), payloads.length, CLUSTER) };
}

describe.each(DEFLATED)('a deflate stream with %s', (name, cluster, payload) => {
  test('is sound', () => expect(inflated(payload)).toEqual(Buffer.from(cluster)));

  test.each([
    ['each bit turned over', flips],
    ['a cut at each byte', cuts],
  ])('%s: reported, or read alike by zlib and by QEMU', async (_, change) => {
    const changed = change(payload);
    const { broken, read } = await examineApart(`${name}.qcow2`, changed, 'zlib');
    expect(broken.size).toBeGreaterThan(changed.length / 4);
    for (const [index, bytes] of read.entries()) {
      const expected = inflated(changed[index]!);
      expect(broken.has(index), `change ${index}`).toBe(expected === undefined);
      if (!broken.has(index)) expect(bytes?.equals(expected!), `change ${index}`).toBe(true);
    }
  });
});

const [CONTENT_SIZE_FLAG, CHECKSUM_FLAG] = [200, 201];
const FRAMES: readonly (readonly [string, Buffer])[] = [
  ['a content size', zstdFrame(short, [])],
  ['a checksum', zstdFrame(short, [[CHECKSUM_FLAG, 1]])],
  ['a window and no content size', zstdFrame(short, [[CONTENT_SIZE_FLAG, 0]])],
  ['one block of one letter', zstdFrame(ones, [])],
];

describe.each(FRAMES)('a zstd frame with %s', (name, frame) => {
  test.each([
    ['each bit turned over', flips],
    ['a cut at each byte', cuts],
  ])('%s: reported, or read alike by libzstd and by QEMU', async (_, change) => {
    const changed = change(frame);
    const { broken, read } = await examineApart(`${name}.qcow2`, changed, 'zstd');
    expect(broken.size).toBeGreaterThan(changed.length / 4);
    const missed = read.flatMap((bytes, index) => {
      if (broken.has(index)) return [];
      const expected = unpacked(changed[index]!);
      return bytes !== undefined && expected !== undefined && bytes.equals(expected) ? [] : [index];
    });
    expect(missed).toEqual([]);
  });
});
