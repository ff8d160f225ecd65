/**
 * Every corruption of a payload in these tests is detected exactly if QEMU does not read the cluster. Deflate has no
 * checksum: a change that gives another valid stream of one cluster cannot be detected; nor can swapped payloads.
 */
import { writeFile } from 'node:fs/promises';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { createCompressor, createDecompressor } from '../../src/engines/create-engine.js';
import { chooseCompressor } from '../../src/engines/engine-choice.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes, text } from '../engines/samples.js';
import { zstdFrame } from '../engines/zstd-frames.js';
import { shortened } from '../stage.js';
import { brokenClusters, examineFile } from './examine-file.js';
import { type Descriptor, payloadImage, readDescriptor, writeDescriptor } from './payload-image.js';
import { qemuReads } from './qemu-reads.js';

const CLUSTER = 4096;
const path = useScratch();

const libzstd = await createDecompressor({ type: 'zstd', engine: 'libzstd' });
const ones = Buffer.alloc(CLUSTER, 0xff);
/** A little text, and the same letter to the end: a payload of some fifty bytes. */
const short = Buffer.concat([text(30), Buffer.alloc(CLUSTER - 30, 'x')]);

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
  ['one code of one bit', ones, deflateRawSync(ones)],
  ['fixed codes', ones, deflateRawSync(ones, { strategy: constants.Z_FIXED })],
  ['output of libdeflate', short, await byLibdeflate(short)],
  ['a stored block before others', short, storedThenDeflated(short)],
];

/** Blocks of every type. */
function storedThenDeflated(cluster: Buffer): Buffer {
  const stored = Buffer.from([0, 10, 0, 245, 255, ...cluster.subarray(0, 10)]);
  return Buffer.concat([stored, deflateRawSync(cluster.subarray(10))]);
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
function inflated(payload: Buffer, zeros = 512): Buffer | undefined {
  try {
    const output = inflateRawSync(Buffer.concat([payload, Buffer.alloc(zeros)]), {
      maxOutputLength: CLUSTER,
    });
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
  const broken = new Set(
    examined.reports.filter(({ isReadable }) => !isReadable).map(({ guestOffset }) => guestOffset / CLUSTER),
  );
  const odd = examined.reports.filter(({ isReadable }) => isReadable);
  expect(broken.size + odd.length).toBe(examined.reports.length);
  expect(examined).toMatchObject({ examined: payloads.length, broken: broken.size });
  return { broken, read: await qemuReads(path(name), payloads.length, CLUSTER) };
}

describe.each(shortened(DEFLATED, 2))('a deflate stream with %s', (name, cluster, payload) => {
  test('is sound', () => expect(inflated(payload)).toEqual(Buffer.from(cluster)));

  test.each([
    ['each bit flipped', flips],
    ['a cut at each byte', cuts],
  ])('%s: reported as broken exactly when QEMU does not read it', async (_, change) => {
    const changed = change(payload);
    const { broken, read } = await examineApart(`${name}.qcow2`, changed, 'zlib');
    expect(broken.size).toBeGreaterThan(changed.length / 4);
    for (const [index, bytes] of read.entries()) {
      expect(broken.has(index), `change ${index}`).toBe(bytes === undefined);
      const expected = inflated(changed[index]!);
      if (expected !== undefined) expect(bytes?.equals(expected), `change ${index}`).toBe(true);
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

describe.each(shortened(FRAMES, 1))('a zstd frame with %s', (name, frame) => {
  test.each([
    ['each bit flipped', flips],
    ['a cut at each byte', cuts],
  ])('%s: reported as broken exactly when QEMU does not read it', async (_, change) => {
    const changed = change(frame);
    const { broken, read } = await examineApart(`${name}.qcow2`, changed, 'zstd');
    expect(broken.size).toBeGreaterThan(changed.length / 4);
    for (const [index, bytes] of read.entries()) {
      expect(broken.has(index), `change ${index}`).toBe(bytes === undefined);
      if (bytes !== undefined) expect(bytes.equals(unpacked(changed[index]!)!), `change ${index}`).toBe(true);
    }
  });
});

describe('a wrong compressed cluster descriptor', () => {
  /** Payloads of several sectors, at the end of the file and nothing behind them. */
  const clusters = [3, 4, 5, 6].map((seed) => Buffer.concat([randomBytes(1500, seed), text(CLUSTER - 1500)]));
  const payloads = clusters.map((cluster) => deflateRawSync(cluster));

  async function imageOfPayloads() {
    const tables = await payloadImage(
      payloads.map((payload) => ({ payload })),
      { clusterSize: CLUSTER },
    );
    const file = Buffer.concat([tables, ...payloads]);
    let offset = tables.length;
    const ends = payloads.map(({ length }, index) => {
      const end = offset + length;
      writeDescriptor(file, index, {
        offset,
        moreSectors: Math.floor((end - 1) / 512) - Math.floor(offset / 512),
      });
      offset = end;
      return end;
    });
    return { file, ends };
  }

  /** Descriptors that stand in place of the first one, each in an image of its own. */
  async function examineEach(name: string, descriptors: readonly Descriptor[]) {
    const { file } = await imageOfPayloads();
    const contents = descriptors.map(() => ({ payload: Uint8Array.of(1) }));
    const many = await payloadImage(contents, { clusterSize: CLUSTER });
    // The payloads lie where they lay, in a file whose tables say more.
    const base = Math.ceil(many.length / CLUSTER) * CLUSTER;
    const whole = Buffer.concat([many, Buffer.alloc(base - many.length), file]);
    const moved = descriptors.map(({ offset, moreSectors }) => ({ offset: base + offset, moreSectors }));
    for (const [index, descriptor] of moved.entries()) writeDescriptor(whole, index, descriptor);
    await writeFile(path(name), whole);
    const broken = brokenClusters(await examineFile(path(name)), CLUSTER);
    const read = await qemuReads(path(name), descriptors.length, CLUSTER);
    const expected = moved.map(({ offset, moreSectors }) =>
      inflated(whole.subarray(offset, Math.floor(offset / 512) * 512 + (1 + moreSectors) * 512), 0),
    );
    return { broken, read, expected };
  }

  test('a length that is too short is detected; one that is too long is harmless', async () => {
    const { file } = await imageOfPayloads();
    const { offset, moreSectors } = readDescriptor(file, 0);
    const counts = Array.from({ length: 15 }, (_, index) => index);
    const { broken, read } = await examineEach(
      'lengths.qcow2',
      counts.map((count) => ({ offset, moreSectors: count })),
    );
    expect(broken).toEqual(counts.filter((count) => count < moreSectors));
    expect(read.slice(moreSectors).every((bytes) => bytes?.equals(clusters[0]!))).toBe(true);
  });

  test('a slightly wrong offset is detected, or zlib and QEMU read the same', async () => {
    const { file } = await imageOfPayloads();
    const { offset, moreSectors } = readDescriptor(file, 1);
    const shifts = Array.from({ length: 101 }, (_, index) => index - 50);
    const { broken, read, expected } = await examineEach(
      'offsets.qcow2',
      shifts.map((shift) => ({ offset: offset + shift, moreSectors })),
    );
    expect(broken).toEqual(shifts.flatMap((_, index) => (expected[index] === undefined ? [index] : [])));
    expect(broken).not.toContain(50);
    expect(broken.length).toBeGreaterThan(95);
    for (const [index, bytes] of expected.entries()) {
      if (bytes !== undefined) expect(read[index]?.equals(bytes), `shift ${shifts[index]}`).toBe(true);
    }
  });

  test('an offset past the end of the file is detected', async () => {
    const { file } = await imageOfPayloads();
    const offsets = [0, 1, 511, 512, CLUSTER, 2 ** 40, 2 ** 53 - 2 ** 20].map((by) => file.length + by);
    for (const [index, offset] of offsets.entries()) {
      writeDescriptor(file, 2, { offset, moreSectors: 3 });
      await writeFile(path(`past-${index}.qcow2`), file);
      const { reports } = await examineFile(path(`past-${index}.qcow2`));
      expect(reports).toMatchObject([{ guestOffset: 2 * CLUSTER, hostOffset: offset, length: CLUSTER }]);
      expect(reports[0]!.error.message).toMatch(
        /: it lies past the end of the file \(payload at offset \d+ of '/,
      );
    }
  });

  test('every incomplete payload of a truncated file is detected', async () => {
    const { file, ends } = await imageOfPayloads();
    const starts = [file.length - payloads.reduce((sum, { length }) => sum + length, 0), ...ends];
    for (const length of starts.flatMap((start) => [start - 1, start, start + 1, start + 700])) {
      if (length > file.length || length < starts[0]!) continue;
      await writeFile(path('cut.qcow2'), file.subarray(0, length));
      const broken = brokenClusters(await examineFile(path('cut.qcow2')), CLUSTER);
      expect(broken, `cut to ${length}`).toEqual(ends.flatMap((end, index) => (end > length ? [index] : [])));
    }
  });

  test('swapped payloads are not detected: each is a stream of one cluster', async () => {
    const { file } = await imageOfPayloads();
    const [first, second] = [readDescriptor(file, 0), readDescriptor(file, 1)];
    writeDescriptor(file, 0, second);
    writeDescriptor(file, 1, first);
    await writeFile(path('swapped.qcow2'), file);
    expect(await examineFile(path('swapped.qcow2'))).toMatchObject({ examined: 4, broken: 0 });
    const [read] = await qemuReads(path('swapped.qcow2'), 4, CLUSTER);
    expect(read?.equals(clusters[1]!)).toBe(true);
  });
});

describe('a payload that does not yield exactly one cluster', () => {
  const more = (count: number) => text(CLUSTER + count);
  const unfinished = deflateRawSync(text(CLUSTER), { finishFlush: constants.Z_SYNC_FLUSH });
  test.each([
    [
      ...['zeros', 'zlib', Buffer.alloc(600)],
      'the deflate stream is broken after 0 bytes: the length of a stored block differs from its complement',
    ],
    [
      ...['fewer bytes', 'zlib', deflateRawSync(text(CLUSTER - 1))],
      'the deflate stream yields fewer bytes than a cluster: 4095',
    ],
    [
      ...['no bytes', 'zlib', deflateRawSync(Buffer.alloc(0))],
      'the deflate stream yields fewer bytes than a cluster: 0',
    ],
    ['more bytes', 'zlib', deflateRawSync(more(1)), 'the deflate stream yields more bytes than a cluster'],
    [
      ...['no final block, followed by zeros', 'zlib', Buffer.concat([unfinished, Buffer.alloc(9)])],
      'the deflate stream has no final block where the cluster ends',
    ],
    [
      ...[
        'no final block, followed by a stream',
        'zlib',
        Buffer.concat([unfinished, deflateRawSync(text(99))]),
      ],
      'the deflate stream has no final block where the cluster ends',
    ],
    ['zeros', 'zstd', Buffer.alloc(600), 'zstd: Unknown frame descriptor'],
    [
      ...['fewer bytes', 'zstd', zstdFrame(text(CLUSTER - 1), [])],
      'the zstd frame yields fewer bytes than a cluster',
    ],
    ['no bytes', 'zstd', zstdFrame(text(0), []), 'the zstd frame yields fewer bytes than a cluster'],
    ['more bytes', 'zstd', zstdFrame(more(1), []), 'the zstd frame yields more bytes than a cluster'],
  ] as readonly (readonly [string, 'zlib' | 'zstd', Buffer, string])[])(
    '%s (%s): reported, and broken exactly when QEMU does not read it',
    async (name, compressionType, payload, reason) => {
      const file = path(`${name}-${compressionType}.qcow2`);
      const image = await payloadImage([{ payload }], { clusterSize: CLUSTER, compressionType });
      await writeFile(file, image);
      const { offset } = readDescriptor(image, 0);
      const { reports } = await examineFile(file);
      const [read] = await qemuReads(file, 1, CLUSTER);
      const what = read === undefined ? 'cannot be read' : 'is malformed';
      expect(reports.map(({ error }) => error.message)).toEqual([
        `Compressed cluster at guest offset 0 ${what}: ${reason} (payload at offset ${offset} of '${file}')`,
      ]);
      expect(reports[0]!.isReadable).toBe(read !== undefined);
    },
  );
});
