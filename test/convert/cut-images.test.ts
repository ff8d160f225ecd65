/**
 * A truncated image loses only the guest clusters in its missing part: QEMU still reads all clusters whose bytes are
 * present. Images of every kind are cut at many lengths.
 */
import { copyFileSync, openSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes, textBytes } from '../e2e/source-images.js';
import { runOk } from '../oracle/run.js';
import { sample, TESTS_ALL } from '../stage.js';
import { convertHere } from './built-worker.js';

const path = useScratch();
const KIB = 1024;
const MIB = 1024 * KIB;
const OFFSET_BITS = 0x00ff_ffff_ffff_fe00n;
const COMPRESSED = 1n << 62n;
const [raw, image, cut, seen] = ['source.raw', 'image.qcow2', 'cut.qcow2', 'seen.raw'].map((name) =>
  path(name),
) as [string, string, string, string];
let disk: Buffer;

beforeAll(async () => {
  // Text and noise by turns, so that compressed and normal clusters lie between each other; zeros; an odd end.
  const turns = Array.from({ length: 6 }, (_, index) =>
    index % 2 === 0 ? textBytes(700_000).subarray(index * 1000) : randomBytes(300_000 + index, index),
  );
  disk = Buffer.concat([...turns, Buffer.alloc(500_000), textBytes(900_000), randomBytes(70_000)]);
  disk = disk.subarray(0, disk.length - (disk.length % 512));
  writeFileSync(raw, disk);
  // Under an overlay, data is where the overlay has zeros, and part of it is the same.
  const base = Buffer.from(disk).fill(0x55, 1_000_000, 4_000_000);
  writeFileSync(path('base.raw'), base);
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, path('bitmaps.qcow2')]);
  for (const name of ['one', 'two']) {
    await runOk('qemu-img', ['bitmap', '--add', '-g', '512', path('bitmaps.qcow2'), name]);
  }
  await runOk('qemu-img', [
    'convert',
    '-c',
    '-f',
    'raw',
    '-O',
    'qcow2',
    path('base.raw'),
    path('data.qcow2'),
  ]);
  await runOk('qemu-img', ['snapshot', '-c', 'before', path('data.qcow2')]);
  await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', path('existing.qcow2'), `${disk.length}`]);
});

/** What a guest cluster needs of the file: up to where its bytes and its L2 entry reach. Specification: "Cluster mapping". */
interface Need {
  readonly data: number;
  readonly entry: number;
}

function needsOf(bytes: Buffer): Need[] {
  const clusterBits = bytes.readUInt32BE(20);
  const clusterSize = 2 ** clusterBits;
  const isVersion3 = bytes.readUInt32BE(4) === 3;
  const entryBytes = isVersion3 && (bytes.readBigUInt64BE(72) & 16n) !== 0n ? 16 : 8;
  const entries = clusterSize / entryBytes;
  const offsetBits = BigInt(62 - (clusterBits - 8));
  const l1Offset = Number(bytes.readBigUInt64BE(40));
  return Array.from({ length: Math.ceil(disk.length / clusterSize) }, (_, guest) => {
    const l1Entry = bytes.readBigUInt64BE(l1Offset + Math.floor(guest / entries) * 8);
    const table = Number(l1Entry & OFFSET_BITS);
    if (table === 0) return { data: 0, entry: 0 };
    const at = table + (guest % entries) * entryBytes;
    const raw = bytes.readBigUInt64BE(at);
    const isZero = (raw & ~1n) === 0n;
    const need = { entry: at + entryBytes, data: 0 };
    if (isZero) return need;
    if ((raw & COMPRESSED) === 0n) return { ...need, data: Number(raw & OFFSET_BITS) + clusterSize };
    const offset = Number(raw & ((1n << offsetBits) - 1n));
    const sectors = 1 + Number((raw & (COMPRESSED - 1n)) >> offsetBits);
    return { ...need, data: offset - (offset % 512) + sectors * 512 };
  });
}

/** The guest clusters that QEMU reads as they were. */
async function readByQemu(file: string, clusterSize: number): Promise<Set<number>> {
  // What cannot be read becomes zeros.
  await runOk('qemu-img', ['convert', '--salvage', '-f', 'qcow2', '-O', 'raw', file, seen]).catch((error) => {
    // It says so on standard error, which is no failure.
    if (!`${error}`.includes('warning: error while reading')) throw error;
  });
  const found = readFileSync(seen);
  expect(found.length).toBe(disk.length);
  const right = new Set<number>();
  for (let guest = 0; guest * clusterSize < disk.length; guest += 1) {
    const [from, to] = [guest * clusterSize, Math.min((guest + 1) * clusterSize, disk.length)];
    if (disk.compare(found, from, to, from, to) === 0) right.add(guest);
  }
  return right;
}

test.each(
  sample<readonly [string, Partial<ConvertOptions>]>(
    [
      ['zlib', { compress: true }],
      ['zlib in version 2', { compress: true, create: { compat: 2 } }],
      ['zlib in clusters of 512 bytes', { compress: true, create: { clusterSize: 512 } }],
      [
        'zlib in clusters of 512 bytes, refcounts of 1 bit',
        { compress: true, create: { clusterSize: 512, refcountBits: 1 } },
      ],
      ['zlib in clusters of 4 KiB', { compress: true, create: { clusterSize: 4096 } }],
      // QEMU inflates a cluster once for each of its sectors.
      [
        'zlib in large clusters',
        { compress: true, create: { clusterSize: TESTS_ALL ? 2 * MIB : 256 * KIB } },
      ],
      ['zstd', { compress: true, create: { compressionType: 'zstd' } }],
      ['no compression', {}],
      ['no compression, clusters of 4 KiB', { create: { clusterSize: 4096 } }],
      ['extended L2 entries', { create: { extendedL2: true, clusterSize: 16 * KIB } }],
      ['extended L2 entries, zlib', { compress: true, create: { extendedL2: true } }],
      [
        'an overlay',
        {
          compress: true,
          create: { backingFile: path('base.raw'), backingFormat: 'raw', clusterSize: 4096 },
        },
      ],
      [
        'bitmaps',
        { compress: true, sources: [path('bitmaps.qcow2')], sourceFormat: 'qcow2', bitmaps: 'all' },
      ],
      ['a stream in clusters of 4 KiB', { compress: true, sources: [], create: { clusterSize: 4096 } }],
      ['an existing image', { compress: true, keepTarget: true }],
      ['an existing image with other data', { keepTarget: true }],
    ],
    4,
  ),
)('%s: every cluster whose bytes are present is kept', async (kind, options) => {
  if (options.keepTarget) copyFileSync(path(kind.endsWith('data') ? 'data.qcow2' : 'existing.qcow2'), image);
  const stream = () => ({ stream: openSync(raw, 'r'), name: 'a stream' });
  const sources = kind.startsWith('a stream') ? [stream()] : [raw];
  await convertHere({
    sources,
    sourceFormat: 'raw',
    target: image,
    targetFormat: 'qcow2',
    ...options,
    ...(kind.startsWith('a stream') ? { sources } : {}),
  });
  const bytes = readFileSync(image);
  const needs = needsOf(bytes);
  const clusterSize = 2 ** bytes.readUInt32BE(20);
  // Nothing that is stored is lost because of a table that lay behind it.
  expect(needs.filter(({ data, entry }) => data !== 0 && data < entry)).toEqual([]);
  const stored = needs.filter(({ data }) => data !== 0);
  const firstData = Math.min(...stored.map(({ data }) => data)) - clusterSize;
  for (const lost of sample([512, 4096, 64 * KIB, 64 * KIB + 512, MIB, 2 * MIB + 1536], 4)) {
    const length = Math.max(bytes.length - lost, Math.ceil(firstData / 512) * 512);
    copyFileSync(image, cut);
    truncateSync(cut, length);
    const right = await readByQemu(cut, clusterSize);
    const missing = needs.flatMap((need, guest) =>
      Math.max(need.data, need.entry) <= length && !right.has(guest) ? [guest] : [],
    );
    expect({ lost, missing }).toEqual({ lost, missing: [] });
    // The test looks at something: what lay there is lost, but for zeros behind the disk's end.
    if (lost >= MIB) expect(right.size).toBeLessThan(needs.length);
  }
  expect(statSync(image).size).toBe(bytes.length);
});
