import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ioError } from '../../src/errors.js';
import type { LayerRange } from '../../src/image/source.js';
import { ClusterMap, type MappedImage } from '../../src/qcow2/cluster-map.js';
import { MemoryHostFile } from '../image/memory-host-file.js';
import { tries } from '../stage.js';
import { expectedSectors, type Sector, sectorsOf } from './cluster-map-model.js';

const SECTOR = 512;
const COPIED = 1n << 63n;
const COMPRESSED = 1n << 62n;

/** All ranges in order; none may be empty or reach past the end of the disk. */
async function rangesOf(map: ClusterMap, size: number): Promise<(LayerRange & { at: number })[]> {
  const ranges: (LayerRange & { at: number })[] = [];
  for (let at = 0; at < size; ) {
    const range = await map.map(at);
    if (range.length < 1 || at + range.length > size) throw new Error(`${range.length} bytes at ${at}`);
    ranges.push({ ...range, at });
    at += range.length;
  }
  return ranges;
}

/** A small image: the offsets and the content of its tables, in words of 64 bits. */
interface Layout {
  readonly image: MappedImage;
  readonly external: boolean;
  /** Words at offsets of the image's file. */
  readonly words: ReadonlyMap<number, bigint>;
  readonly fileSectors: number;
  readonly dataSectors: number;
  readonly hole: readonly [from: number, to: number];
  /** Offsets of further queries, as parts of the disk's size. */
  readonly asked: readonly number[];
}

/** An L2 entry of any kind, valid or not; `near` are offsets inside the file, or just past its end. */
function l2Entry(clusterBits: number, guestClusters: number): fc.Arbitrary<bigint> {
  const clusterSize = 2n ** BigInt(clusterBits);
  const aligned = fc.integer({ min: 0, max: 40 }).map((index) => BigInt(index) * clusterSize);
  const guest = fc.integer({ min: 0, max: guestClusters }).map((index) => BigInt(index) * clusterSize);
  const offsetBits = BigInt(62 - (clusterBits - 8));
  const flags = fc.constantFrom(0n, COPIED);
  const payload = fc
    .tuple(fc.bigInt(0n, 60_000n), fc.bigInt(0n, 2n ** BigInt(clusterBits - 8) - 1n))
    .map(([offset, sectors]) => COMPRESSED | (sectors << offsetBits) | offset);
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant(0n) },
    { weight: 2, arbitrary: fc.constantFrom(1n, COPIED, COPIED | 1n) },
    { weight: 6, arbitrary: fc.tuple(flags, aligned).map(([flag, offset]) => flag | offset) },
    { weight: 3, arbitrary: fc.tuple(flags, guest).map(([flag, offset]) => flag | offset) },
    { weight: 1, arbitrary: fc.tuple(flags, aligned).map(([flag, offset]) => flag | offset | 1n) },
    { weight: 1, arbitrary: aligned.map((offset) => offset + 512n) },
    { weight: 3, arbitrary: payload },
    { weight: 1, arbitrary: fc.bigInt(0n, 2n ** 64n - 1n) },
  );
}

const word = (bits: number) => fc.bigInt(0n, 2n ** BigInt(bits) - 1n);
/** The second word of an extended entry: all kinds, and bits that contradict each other. */
const bitmap = fc.oneof(
  fc.constantFrom(0n, 2n ** 32n - 1n, (2n ** 32n - 1n) << 32n),
  word(32),
  word(32).map((zeros) => zeros << 32n),
  fc.tuple(word(32), word(32)).map(([data, zeros]) => data | ((zeros & ~data) << 32n)),
  word(64),
);

/** Consecutive clusters that can be merged, and some that must not be. */
function runs(clusterBits: number): fc.Arbitrary<bigint[]> {
  const clusterSize = 2n ** BigInt(clusterBits);
  const run = (start: bigint, length: number) =>
    Array.from({ length }, (_, index) => COPIED | (start + BigInt(index) * clusterSize));
  return fc
    .tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 12 }))
    .map(([start, length]) => run(BigInt(start) * clusterSize, length));
}

const layouts: fc.Arbitrary<Layout> = fc
  .record({
    kind: fc.constantFrom('v2' as const, 'v3' as const, 'v3' as const, 'extended' as const),
    small: fc.constantFrom(9, 10, 11),
    external: fc.boolean(),
  })
  .chain(({ kind, small, external: wanted }) => {
    const extendedL2 = kind === 'extended';
    const external = wanted && kind !== 'v2';
    const clusterBits = extendedL2 ? 14 : small;
    const clusterSize = 2 ** clusterBits;
    const entryBytes = extendedL2 ? 16 : 8;
    const l2Entries = clusterSize / entryBytes;
    const reach = clusterSize * l2Entries;
    const guestClusters = extendedL2 ? 8 : 3 * l2Entries;
    return fc
      .record({
        virtualSectors: fc.oneof(
          { weight: 1, arbitrary: fc.integer({ min: 0, max: (guestClusters * clusterSize) / SECTOR }) },
          { weight: 1, arbitrary: fc.constant((guestClusters * clusterSize) / SECTOR) },
        ),
        l1Missing: fc.constantFrom(0, 0, 0, 1, 2),
        l1Extra: fc.constantFrom(0, 3),
        l1At: fc.constantFrom(1, 2, 5).map((index) => index * clusterSize),
        // Places of each L2 table: none, in the file, over another, past the end, unaligned, far away.
        tables: fc.array(
          fc.oneof(
            { weight: 1, arbitrary: fc.constantFrom(0n, COPIED) },
            {
              weight: 6,
              arbitrary: fc.integer({ min: 6, max: 11 }).map((index) => BigInt(index) * BigInt(clusterSize)),
            },
            { weight: 1, arbitrary: fc.constantFrom(2n ** 55n, 2n ** 40n, BigInt(clusterSize * 6 + 512)) },
          ),
          { minLength: 6, maxLength: 6 },
        ),
        entries: fc.array(
          fc.oneof(
            fc.array(l2Entry(clusterBits, guestClusters), { minLength: 1, maxLength: 8, size: 'max' }),
            runs(clusterBits),
            fc.integer({ min: 1, max: 9 }).map((length) => Array.from({ length }, () => 0n)),
            fc.integer({ min: 1, max: 9 }).map((length) => Array.from({ length }, () => 1n)),
            // In place, as an external data file has them.
            fc.constant(undefined),
          ),
          { minLength: 5, maxLength: 50, size: 'max' },
        ),
        bitmaps: fc.array(bitmap, { minLength: 8, maxLength: 8 }),
        fileSectors: fc.oneof(
          { weight: 1, arbitrary: fc.integer({ min: 0, max: (16 * clusterSize) / SECTOR }) },
          { weight: 3, arbitrary: fc.constant((16 * clusterSize) / SECTOR) },
        ),
        dataSectors: fc.integer({ min: 0, max: (guestClusters * clusterSize) / SECTOR }),
        hole: fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 60 })),
        asked: fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { maxLength: 8 }),
      })
      .map((parts): Layout => {
        const virtualSize = parts.virtualSectors * SECTOR;
        const needed = Math.ceil(virtualSize / reach);
        const l1Entries = Math.max(0, needed - parts.l1Missing) + parts.l1Extra;
        const words = new Map<number, bigint>();
        parts.tables.slice(0, l1Entries).forEach((entry, index) => {
          words.set(parts.l1At + index * 8, entry);
        });
        let index = 0;
        const put = (entry: bigint | undefined) => {
          const at = 6 * clusterSize + index * entryBytes;
          const guest = index % guestClusters;
          words.set(at, entry ?? COPIED | BigInt(guest * clusterSize));
          if (extendedL2) words.set(at + 8, parts.bitmaps[index % parts.bitmaps.length] ?? 0n);
          index += 1;
        };
        for (const entries of parts.entries) {
          if (entries === undefined) for (let more = 0; more < 5; more += 1) put(undefined);
          else for (const entry of entries) put(entry);
        }
        const [first = 0, second = 0] = parts.hole;
        return {
          image: {
            version: kind === 'v2' ? 2 : 3,
            clusterBits,
            virtualSize,
            l1Offset: parts.l1At,
            l1Entries,
            extendedL2,
            compressionType: 'zlib',
          },
          external,
          words,
          fileSectors: parts.fileSectors,
          dataSectors: parts.dataSectors,
          hole: [Math.min(first, second) * SECTOR, Math.max(first, second) * SECTOR],
          asked: parts.asked,
        };
      });
  });

function filesOf({ words, fileSectors, dataSectors, external, hole }: Layout) {
  const bytes = Buffer.alloc(fileSectors * SECTOR);
  for (const [at, value] of words) if (at + 8 <= bytes.length) bytes.writeBigUInt64BE(value, at);
  const holes = hole[0] < hole[1] ? [hole] : [];
  const file = new MemoryHostFile('x.qcow2', bytes, 5, external ? [] : holes);
  const data = external
    ? new MemoryHostFile('x.data', Buffer.alloc(dataSectors * SECTOR), 6, holes)
    : undefined;
  return { file, data };
}

describe('the map of any image', () => {
  test('agrees with the tables for every sector, and merges contiguous ranges', async () => {
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(layouts, async (layout) => {
        const { file, data } = filesOf(layout);
        const map = new ClusterMap(layout.image, file, data);
        const ranges = await rangesOf(map, layout.image.virtualSize);
        const found = ranges.flatMap((range) => sectorsOf(range));
        const expected = expectedSectors(layout.image, file, data);
        expect(found).toEqual(expected);
        for (const { kind } of expected) seen.set(kind, (seen.get(kind) ?? 0) + 1);
        // The answer is the same from any offset, not only from the start of a sector.
        for (const share of layout.asked) {
          const at = Math.floor(share * layout.image.virtualSize);
          if (at >= layout.image.virtualSize) continue;
          const index = Math.floor(at / SECTOR);
          const [first] = sectorsOf(await map.map(at));
          expect(first).toEqual(further(expected[index]!, at % SECTOR));
        }
      }),
      { numRuns: tries(1800) },
    );
    // All states occurred.
    for (const kind of ['compressed', 'data', 'unallocated', 'unreadable', 'zero']) {
      expect(seen.get(kind), kind).toBeGreaterThan(tries(50));
    }
  });

  function further(sector: Sector, bytes: number): Sector {
    if (sector.kind === 'data') return { ...sector, offset: sector.offset + bytes };
    if (sector.kind === 'compressed') return { ...sector, skip: sector.skip + bytes };
    return sector;
  }
});

/** An image of version 3 with these L2 entries in one table after its L1 table; two words each if extended. */
function imageOf(
  entries: readonly bigint[],
  { clusterBits = 12, extendedL2 = false, virtualSize = 0, version = 3 as 2 | 3, l1 = [] as bigint[] } = {},
) {
  const clusterSize = 2 ** clusterBits;
  const bytes = Buffer.alloc(Math.max(16, 3 + Math.ceil((entries.length * 8) / clusterSize)) * clusterSize);
  bytes.writeBigUInt64BE(COPIED | BigInt(2 * clusterSize), clusterSize);
  for (const [index, entry] of l1.entries()) bytes.writeBigUInt64BE(entry, clusterSize + index * 8);
  for (const [index, entry] of entries.entries()) bytes.writeBigUInt64BE(entry, 2 * clusterSize + index * 8);
  const reach = (clusterSize * clusterSize) / (extendedL2 ? 16 : 8);
  const size = virtualSize || (entries.length / (extendedL2 ? 2 : 1)) * clusterSize;
  const image: MappedImage = {
    version,
    clusterBits,
    virtualSize: size,
    l1Offset: clusterSize,
    l1Entries: Math.max(l1.length, Math.ceil(size / reach)),
    extendedL2,
    compressionType: 'zlib',
  };
  const file = new MemoryHostFile('x.qcow2', bytes);
  return { image, file, map: new ClusterMap(image, file, undefined), clusterSize };
}

const kindsOf = (ranges: readonly { kind: string; at: number; length: number }[]) =>
  ranges.map(({ kind, at, length }) => [kind, at, length]);

describe('runs', () => {
  test('of contiguous clusters are one range, others are not', async () => {
    const at = (index: number) => COPIED | BigInt(index * 4096);
    const entries = [at(5), at(6), at(7), at(9), at(8), 0n, 0n, 1n, 1n, BigInt(10 * 4096 + 1), at(5), at(6)];
    const { map, image } = imageOf(entries);
    const ranges = await rangesOf(map, image.virtualSize);
    expect(kindsOf(ranges)).toEqual([
      ['data', 0, 3 * 4096],
      ['data', 3 * 4096, 4096],
      ['data', 4 * 4096, 4096],
      ['unallocated', 5 * 4096, 2 * 4096],
      ['zero', 7 * 4096, 3 * 4096],
      ['data', 10 * 4096, 2 * 4096],
    ]);
    expect(await map.map(4096 + 100)).toEqual({
      kind: 'data',
      length: 2 * 4096 - 100,
      descriptor: 5,
      offset: 6 * 4096 + 100,
    });
  });

  test('of subclusters continue across clusters', async () => {
    const all = 2n ** 32n - 1n;
    const at = (index: number) => COPIED | BigInt(index * 16_384);
    const entries = [at(5), all, at(6), all >> 16n, 0n, all << 32n, 0n, 0n, 0n, 0n, at(7), 0n];
    const { map, image } = imageOf(entries, { clusterBits: 14, extendedL2: true });
    expect(kindsOf(await rangesOf(map, image.virtualSize))).toEqual([
      ['data', 0, 16_384 + 8192],
      ['unallocated', 16_384 + 8192, 8192],
      ['zero', 2 * 16_384, 16_384],
      ['unallocated', 3 * 16_384, 3 * 16_384],
    ]);
  });

  test('contain no compressed clusters; with extended entries every bit of their offset is used', async () => {
    const payload = (offset: bigint) => COMPRESSED | (3n << 56n) | offset;
    const entries = [payload(70_001n), 0n, payload(70_003n), 2n ** 64n - 1n];
    const { map, image } = imageOf(entries, { clusterBits: 14, extendedL2: true });
    const ranges = await rangesOf(map, image.virtualSize);
    const places = [70_001, 70_003].flatMap((offset) => [offset, 4 * 512 - (offset % 512)]);
    const payloads = { type: 'zlib', descriptor: 5, clusterSize: 16_384, places };
    expect(ranges).toEqual([{ kind: 'compressed', at: 0, length: 2 * 16_384, skip: 0, payloads }]);
    expect(await map.map(16_384 + 777)).toMatchObject({
      ...{ skip: 777, length: 16_384 - 777 },
      payloads: { places: places.slice(2) },
    });
  });

  test('end with the disk, inside the last cluster', async () => {
    const at = (index: number) => COPIED | BigInt(index * 4096);
    const { map, image } = imageOf([at(5), at(6), at(7)], { virtualSize: 2 * 4096 + 1536 });
    expect(kindsOf(await rangesOf(map, image.virtualSize))).toEqual([['data', 0, 2 * 4096 + 1536]]);
    const compressed = imageOf([COMPRESSED | 4096n], { virtualSize: 512 });
    expect(await compressed.map.map(0)).toMatchObject({ kind: 'compressed', length: 512, skip: 0 });
  });
});

describe('a broken entry', () => {
  const sound = COPIED | BigInt(5 * 4096);
  test.each([
    ['an offset that is not aligned', sound + 512n, /unaligned offset 20992/],
    ['an offset past 2^53', 2n ** 55n, /offset of a cluster is 36028797018963968/],
    ['a compressed offset past 2^53', COMPRESSED | (2n ** 57n), /offset of a compressed cluster/],
    [
      'a cluster past the end of the file',
      COPIED | BigInt(99 * 4096),
      /offset 405504, past the end of 'x.qcow2'/,
    ],
  ])('by %s makes its own cluster unreadable and no other', async (_, entry, reason) => {
    const { map, image } = imageOf([sound, entry, sound]);
    const ranges = await rangesOf(map, image.virtualSize);
    expect(kindsOf(ranges)).toEqual([
      ['data', 0, 4096],
      ['unreadable', 4096, 4096],
      ['data', 2 * 4096, 4096],
    ]);
    expect(ranges[1]).toMatchObject({
      error: {
        code: 'ERR_CORRUPT',
        file: 'x.qcow2',
        guestOffset: 4096,
        message: expect.stringMatching(reason),
      },
    });
    expect((ranges[1] as { error: Error }).error.message).toMatch(
      /^'x.qcow2' is broken at guest offset 4096: /,
    );
  });

  test('in version 2 includes one with the zero flag', async () => {
    const { map, image } = imageOf([sound, 1n, sound | 1n, sound], { version: 2 });
    const ranges = await rangesOf(map, image.virtualSize);
    expect(ranges.map(({ kind }) => kind)).toEqual(['data', 'unreadable', 'unreadable', 'data']);
  });

  test('with contradictory bits for one subcluster is broken for all of them, as in QEMU', async () => {
    const at = COPIED | BigInt(5 * 16_384);
    const entries = [at, 1n << 7n, at, (1n << 7n) | (1n << 39n), at, 1n, 0n, 1n << 31n];
    const { map, image } = imageOf(entries, { clusterBits: 14, extendedL2: true });
    const ranges = await rangesOf(map, image.virtualSize);
    expect(kindsOf(ranges).filter(([kind]) => kind === 'unreadable')).toEqual([
      ['unreadable', 16_384, 16_384],
      ['unreadable', 3 * 16_384, 16_384],
    ]);
  });

  test('of an L1 table makes its own table’s clusters unreadable and no other', async () => {
    const reach = 4096 * 512;
    const l1 = [COPIED | 8192n, COPIED | 8704n, 2n ** 55n, COPIED | 8192n];
    const { map, image } = imageOf([], { virtualSize: 4 * reach, l1 });
    const ranges = await rangesOf(map, image.virtualSize);
    expect(kindsOf(ranges)).toEqual([
      ['unallocated', 0, reach],
      ['unreadable', reach, reach],
      ['unreadable', 2 * reach, reach],
      ['unallocated', 3 * reach, reach],
    ]);
    expect(ranges[1]).toMatchObject({ error: { message: expect.stringMatching(/L2 table .*offset 8704/) } });
  });
});

describe('tables', () => {
  test('past the end of the file are unreadable: one range for each table', async () => {
    const reach = 65_536 * 8192;
    const l1 = [COPIED | (1n << 40n), COPIED | (1n << 40n)];
    const { map, image, file } = imageOf([], { clusterBits: 16, virtualSize: 3 * reach, l1: [...l1, 0n] });
    expect(kindsOf(await rangesOf(map, image.virtualSize))).toEqual([
      ['unreadable', 0, reach],
      ['unreadable', reach, reach],
      ['unallocated', 2 * reach, reach],
    ]);
    expect(file.reads.length).toBeLessThanOrEqual(3);
  });

  test('that the file cuts off are read up to its end', async () => {
    const at = COPIED | 4096n;
    const { image, file } = imageOf([at, at, at, at]);
    const bytes = file.bytes.subarray(0, 2 * 4096 + 24);
    const map = new ClusterMap(image, new MemoryHostFile('x.qcow2', bytes, 5, [], bytes.length), undefined);
    expect(kindsOf(await rangesOf(map, image.virtualSize))).toEqual([
      ['data', 0, 4096],
      ['data', 4096, 4096],
      ['data', 2 * 4096, 4096],
      ['unreadable', 3 * 4096, 4096],
    ]);
  });

  test('whose L1 table is past the end of the file are one range', async () => {
    const { image, file } = imageOf([0n], { clusterBits: 9, virtualSize: 2 ** 27 });
    const bytes = file.bytes.subarray(0, 512 + 8 * 10);
    const map = new ClusterMap(image, new MemoryHostFile('x.qcow2', bytes, 5, [], bytes.length), undefined);
    const reach = 512 * 64;
    expect(kindsOf(await rangesOf(map, image.virtualSize)).slice(-2)).toEqual([
      ['unallocated', reach, 9 * reach],
      ['unreadable', 10 * reach, 2 ** 27 - 10 * reach],
    ]);
  });

  test('that fail to be read are requested once for each piece, and the error names the reason', async () => {
    const at = COPIED | 4096n;
    const { image, file } = imageOf(Array.from({ length: 512 }, () => at));
    const { read } = file;
    const eio = Object.assign(new Error('EIO'), { code: 'EIO', errno: -5 });
    file.bytes.writeBigUInt64BE(COPIED | 65_536n, 4096);
    let failures = 0;
    file.read = async (offset, into) => {
      if (offset >= 65_536) {
        failures += 1;
        throw ioError("Could not read 'x.qcow2'", eio);
      }
      return read.call(file, offset, into);
    };
    const ranges = await rangesOf(new ClusterMap(image, file, undefined), image.virtualSize);
    expect(kindsOf(ranges)).toEqual([['unreadable', 0, 512 * 4096]]);
    expect(ranges[0]).toMatchObject({ error: { code: 'ERR_IO', systemCode: 'EIO' } });
    expect(failures).toBe(1);
  });

  test('are not reported as unreadable after a defect of qcow2c', async () => {
    const { image, file } = imageOf([0n]);
    file.read = () => Promise.reject(new TypeError('a defect'));
    await expect(new ClusterMap(image, file, undefined).map(0)).rejects.toThrow('a defect');
  });
});

describe('a file whose own map fails', () => {
  test('makes one cluster unreadable, but a defect of qcow2c does not', async () => {
    const at = (index: number) => COPIED | BigInt(index * 4096);
    const { map, file, image } = imageOf([at(5), at(6)]);
    const eio = Object.assign(new Error('EIO'), { code: 'EIO', errno: -5 });
    file.map = () => Promise.reject(ioError("Could not look for holes in 'x.qcow2'", eio));
    const ranges = await rangesOf(map, image.virtualSize);
    expect(kindsOf(ranges)).toEqual([
      ['unreadable', 0, 4096],
      ['unreadable', 4096, 4096],
    ]);
    expect(await map.map(1000)).toMatchObject({ length: 3096, error: { code: 'ERR_IO', systemCode: 'EIO' } });
    file.map = () => Promise.reject(new TypeError('a defect'));
    await expect(map.map(0)).rejects.toThrow('a defect');
  });
});

describe('the cost of a large disk', () => {
  const TIB = 2 ** 40;
  test('64 TiB without clusters are one range, and the L1 table is read once', async () => {
    const virtualSize = 64 * TIB;
    const l1Entries = virtualSize / (65_536 * 8192);
    const file = new MemoryHostFile('x.qcow2', Buffer.alloc(0), 5, [], 196_608 + l1Entries * 8);
    const image = { version: 3, clusterBits: 16, virtualSize, l1Offset: 196_608, l1Entries } as const;
    const map = new ClusterMap({ ...image, extendedL2: false, compressionType: 'zlib' }, file, undefined);
    expect(await map.map(0)).toEqual({ kind: 'unallocated', length: virtualSize });
    expect(file.reads.length).toBe((l1Entries * 8) / 65_536);
    expect(new Set(file.reads).size).toBe(file.reads.length);
  });

  test('every table is read once, in order, in pieces', async () => {
    // Tables of 128 KiB, two pieces each.
    const clusterSize = 2 ** 17;
    const entries = clusterSize / 8;
    const count = 2;
    const bytes = Buffer.alloc((2 + count) * clusterSize);
    for (let index = 0; index < count; index += 1) {
      const table = (2 + index) * clusterSize;
      bytes.writeBigUInt64BE(COPIED | BigInt(table), clusterSize + index * 8);
      for (let entry = 0; entry < entries; entry += 2) bytes.writeBigUInt64BE(1n, table + entry * 8);
    }
    const virtualSize = count * entries * clusterSize;
    const file = new MemoryHostFile('x.qcow2', bytes);
    const image = { version: 3, clusterBits: 17, virtualSize, l1Offset: clusterSize } as const;
    const map = new ClusterMap(
      { ...image, l1Entries: count, extendedL2: false, compressionType: 'zlib' },
      file,
      undefined,
    );
    const ranges = await rangesOf(map, virtualSize);
    expect(ranges.length).toBe(count * entries);
    expect(file.reads.length).toBe(1 + 2 * count);
  });
});
