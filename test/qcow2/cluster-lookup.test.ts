import { describe, expect, test } from 'vitest';
import { ClusterLookup, type FoundClusters, type LookupSettings } from '../../src/qcow2/cluster-lookup.js';
import { MemoryFile } from './memory-file.js';

const COPIED = 1n << 63n;
const COMPRESSED = 1n << 62n;
const L1_AT = 512;
const L2_AT = 1024;

/** A lookup in an image whose first L2 table begins with these words; the file ends after it. */
function lookupIn(
  words: readonly bigint[],
  settings: Partial<LookupSettings> = {},
  { clusterBits = 9, extendedL2 = false, l2At = L2_AT, clusters = 8, fileSize = 1536 } = {},
) {
  const bytes = Buffer.alloc(Math.max(2048, l2At + 2 ** clusterBits));
  bytes.writeBigUInt64BE(COPIED | BigInt(l2At), L1_AT);
  for (const [index, word] of words.entries()) bytes.writeBigUInt64BE(word, l2At + 8 * index);
  const image = {
    version: 3 as const,
    clusterBits,
    extendedL2,
    external: false,
    virtualSize: clusters * 2 ** clusterBits,
    l1Offset: L1_AT,
    l1Entries: 1,
  };
  const file = new MemoryFile(extendedL2 ? bytes : bytes.subarray(0, fileSize));
  return new ClusterLookup(image, file, {
    pastEnd: 'refused',
    keptPlaces: true,
    compressed: 'each',
    ...settings,
  });
}

async function all(lookup: ClusterLookup, size: number): Promise<FoundClusters[]> {
  const found: FoundClusters[] = [];
  for (let at = 0; at < size; at += found.at(-1)?.length ?? 0) found.push(await lookup.find(at));
  return found;
}

describe('allocated host clusters', () => {
  const zeros = [0x2001n, 0x2201n, 0x2801n, 1n, 1n, 0n, COPIED | 0x3000n, COPIED | 0x3200n];

  test('distinguish zero clusters', async () => {
    expect(await all(lookupIn(zeros), 4096)).toEqual([
      { kind: 'zero', length: 1024, host: 0x2000 },
      { kind: 'zero', length: 512, host: 0x2800 },
      { kind: 'zero', length: 1024, host: undefined },
      { kind: 'unallocated', length: 512, host: undefined },
      { kind: 'normal', length: 1024, host: 0x3000 },
    ]);
  });

  test('start at the requested offset', async () => {
    const lookup = lookupIn(zeros);
    expect(await lookup.find(700)).toEqual({ kind: 'zero', length: 324, host: 0x2000 + 700 });
    expect(await lookup.find(3073)).toEqual({ kind: 'normal', length: 1023, host: 0x3001 });
  });

  test('are ignored unless requested', async () => {
    expect(await all(lookupIn(zeros, { keptPlaces: false }), 4096)).toMatchObject([
      { kind: 'zero', length: 2560, host: undefined },
      { kind: 'unallocated', length: 512, host: undefined },
      { kind: 'normal', length: 1024, host: 0x3000 },
    ]);
  });

  test('are reported for single subclusters too', async () => {
    // Subclusters 0 to 7 are data, 8 to 15 zeros, the others unallocated; the next cluster follows in the file.
    const words = [COPIED | 0x10000n, 0x0000ff00_000000ffn, COPIED | 0x14000n, 0n];
    const geometry = { clusterBits: 14, extendedL2: true, l2At: 0x4000, clusters: 2 };
    expect(await all(lookupIn(words, {}, geometry), 2 * 16384)).toEqual([
      { kind: 'normal', length: 4096, host: 0x10000 },
      { kind: 'zero', length: 4096, host: 0x11000 },
      { kind: 'unallocated', length: 8192 + 16384, host: 0x12000 },
    ]);
  });
});

describe('clusters that follow each other', () => {
  const normal = (host: number) => COPIED | BigInt(host);

  test.each<[string, readonly bigint[], readonly object[]]>([
    [
      'past 4 GiB of the file are one range',
      [0xfffffc00, 0xfffffe00, 0x100000000, 0x100000200].map(normal),
      [{ kind: 'normal', length: 2048, host: 0xfffffc00 }],
    ],
    [
      'up to 4 GiB of the file are not followed by nothing',
      [normal(0xfffffc00), normal(0xfffffe00), COPIED, 0n],
      [
        { kind: 'normal', length: 1024, host: 0xfffffc00 },
        { kind: 'unallocated', length: 1024, host: undefined },
      ],
    ],
    [
      'whatever their flags are one range',
      [normal(0x3000), 0x3200n, 0x3400n, normal(0x3600)],
      [{ kind: 'normal', length: 2048, host: 0x3000 }],
    ],
    [
      'not in the file are ranges of their own',
      [normal(0x3000), normal(0x3200), normal(0x3200), normal(0x3400)],
      [
        { kind: 'normal', length: 1024, host: 0x3000 },
        { kind: 'normal', length: 1024, host: 0x3200 },
      ],
    ],
    [
      'end where there is none',
      [normal(0x3000), 0n, 0n, 0x3600n],
      [
        { kind: 'normal', length: 512, host: 0x3000 },
        { kind: 'unallocated', length: 1024, host: undefined },
        { kind: 'normal', length: 512, host: 0x3600 },
      ],
    ],
    [
      'end where no number holds the place',
      [normal(2 ** 53 - 1024), normal(2 ** 53 - 512), normal(2 ** 53), 0n],
      [
        { kind: 'normal', length: 1024, host: 2 ** 53 - 1024 },
        { kind: 'unreadable', length: 512 },
        { kind: 'unallocated', length: 512 },
      ],
    ],
  ])('%s', async (_, words, expected) => {
    expect(await all(lookupIn(words, {}, { clusters: 4 }), 2048)).toMatchObject(expected);
  });
});

describe('compressed clusters', () => {
  // 54 bits of offset with clusters of 512 bytes are 61; the sectors above them.
  const payload = (offset: bigint, more: bigint) => COMPRESSED | (more << 61n) | offset;
  const words = [payload(2048n, 0n), payload(2100n, 1n), COPIED | 0x3000n, payload(9000n, 0n)];

  test('are reported one by one', async () => {
    expect((await all(lookupIn(words), 2048)).slice(0, 4)).toEqual([
      { kind: 'compressed', length: 512, places: [2048, 512], skip: 0 },
      { kind: 'compressed', length: 512, places: [2100, 460 + 512], skip: 0 },
      { kind: 'normal', length: 512, host: 0x3000 },
      { kind: 'compressed', length: 512, places: [9000, 216], skip: 0 },
    ]);
  });

  test('are reported together on request', async () => {
    const lookup = lookupIn(words, { compressed: 'together' });
    expect(await lookup.find(0)).toEqual({
      kind: 'compressed',
      length: 1024,
      places: [2048, 512, 2100, 460 + 512],
      skip: 0,
    });
    expect(await lookup.find(100)).toMatchObject({ kind: 'compressed', length: 924, skip: 100 });
    expect(await lookup.find(600)).toMatchObject({ kind: 'compressed', length: 424, skip: 88 });
  });

  test('are reported together up to a limit', async () => {
    const many = Array.from({ length: 300 }, (_, index) => COMPRESSED | BigInt(2048 + index));
    const sizes = { clusters: 300, clusterBits: 12, l2At: 4096, fileSize: 8192 };
    const lookup = lookupIn(many, { compressed: 'together' }, sizes);
    const lengths = (await all(lookup, 300 * 4096)).map(({ length }) => length / 4096);
    expect(lengths).toEqual([256, 44]);
  });
});

describe('a table past the end of the file', () => {
  test('is an error or empty, as requested', async () => {
    const words = Array.from({ length: 8 }, () => COPIED | 0x3000n);
    const cut = { fileSize: 1024 };
    for (const guest of [0, 700]) {
      expect(await lookupIn(words, {}, cut).find(guest)).toMatchObject({
        ...{ kind: 'unreadable', length: 4096 - guest },
        error: { code: 'ERR_CORRUPT', offset: 1024 + 8 * Math.floor(guest / 512), guestOffset: guest },
      });
    }
    const empty = { kind: 'unallocated', length: 4096, host: undefined };
    expect(await lookupIn(words, { pastEnd: 'zeros' }, cut).find(0)).toEqual(empty);
  });

  test('is used up to the end of the file', async () => {
    const words = Array.from({ length: 8 }, (_, index) => COPIED | BigInt(0x3000 + 512 * index));
    const found = await all(lookupIn(words, { pastEnd: 'zeros' }, { fileSize: 1024 + 16 }), 4096);
    expect(found).toEqual([
      { kind: 'normal', length: 1024, host: 0x3000 },
      { kind: 'unallocated', length: 3072, host: undefined },
    ]);
  });
});
