/** Segments of compressed clusters: reading, validation, and the number of inflations. */
import * as fs from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Decompressor } from '../../src/engines/codec.js';
import { createDecompressor } from '../../src/engines/create-engine.js';
import { alignedMemory } from '../../src/system/aligned-memory.js';
import type { UnreadableItemRange } from '../../src/workers/item-failure.js';
import { ItemError } from '../../src/workers/item-failure.js';
import { type ReaderSetup, SegmentReader } from '../../src/workers/tasks/segment-reader.js';
import type { ClusterSegment, SplitSegment } from '../../src/workers/tasks/split-segments.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes, text } from '../engines/samples.js';
import { memoryOf } from './worker-setup.js';

const scratch = useScratch();
const CLUSTER = 16_384;
const ITEM = 4 * CLUSTER;

/** Contiguous payloads, from an odd offset on, as in an image. */
const CLUSTERS = [text(CLUSTER), text(CLUSTER, 2), randomBytes(CLUSTER), text(CLUSTER, 3)];
const PAYLOADS = CLUSTERS.map((cluster) => deflateRawSync(cluster));
const FIRST = 1234;
const OFFSETS = PAYLOADS.map((_, index) =>
  PAYLOADS.slice(0, index).reduce((at, { length }) => at + length, FIRST),
);
const FILE = Buffer.concat([Buffer.alloc(FIRST, 0xee), ...PAYLOADS]);
let cached: number;
let direct: number;
let zlib: Decompressor;
/** Counts the calls of a decompressor and records their inputs and outputs. */
const inflated: Uint8Array[] = [];
beforeAll(async () => {
  await writeFile(scratch('payloads'), FILE);
  cached = fs.openSync(scratch('payloads'), 'r');
  direct = fs.openSync(scratch('payloads'), fs.constants.O_RDONLY | fs.constants.O_DIRECT);
  const actual = await createDecompressor({ type: 'zlib' });
  zlib = {
    decompress: (input, output) => {
      inflated.push(output);
      return actual.decompress(input, output);
    },
    salvage: (input, output) => actual.salvage(input, output),
    free: () => actual.free(),
  };
});
afterAll(() => {
  for (const descriptor of [cached, direct]) fs.closeSync(descriptor);
  zlib.free();
});

/** The number of sectors that a payload touches is all that a descriptor says. */
function segment(index: number, at: number, skip = 0, length = CLUSTER - skip): ClusterSegment {
  const offset = OFFSETS[index]!;
  const end = offset + PAYLOADS[index]!.length;
  const storedLength = Math.ceil(end / 512) * 512 - offset;
  return {
    ...{ kind: 'compressed', type: 'zlib', descriptor: cached, inflatedLength: CLUSTER },
    ...{ offset, storedLength, runEnd: offset + storedLength, skip, length, at },
  };
}

function reader(more: Partial<ReaderSetup> = {}): SegmentReader {
  inflated.length = 0;
  const setup = { readAlignment: 1, salvage: false, itemSize: ITEM, ...more };
  return new SegmentReader(setup, memoryOf(), new Map([['zlib', zlib]]));
}

function readItem(segments: readonly SplitSegment[], more: Partial<ReaderSetup> = {}) {
  const item = alignedMemory(ITEM).subarray(0, ITEM).fill(0xdd);
  const unreadable: UnreadableItemRange[] = [];
  reader(more).read(segments, 0, item, unreadable);
  return { item, unreadable };
}

function failureOf(segments: readonly SplitSegment[]) {
  try {
    readItem(segments);
  } catch (error) {
    if (error instanceof ItemError) return structuredClone(error.failure);
    throw error;
  }
  throw new Error('nothing failed');
}

test('any parts of compressed clusters are read back, without the page cache too', () => {
  const pieces = fc.array(
    fc.record({
      gap: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 9000 })),
      index: fc.nat(CLUSTERS.length - 1),
      skip: fc.oneof(fc.constant(0), fc.nat(CLUSTER - 1)),
      length: fc.oneof(fc.constant(CLUSTER), fc.integer({ min: 1, max: CLUSTER })),
      raw: fc.boolean(),
    }),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(pieces, fc.constantFrom(1, 512, 4096), fc.boolean(), (list, readAlignment, isDirect) => {
      const descriptor = isDirect ? direct : cached;
      const expected = Buffer.alloc(ITEM);
      let end = 0;
      const segments = list.flatMap(({ gap, index, skip, raw, ...piece }): SplitSegment[] => {
        const at = end + gap;
        const length = Math.min(piece.length, CLUSTER - skip);
        if (at + length > ITEM) return [];
        end = at + length;
        if (!raw) {
          expected.set(CLUSTERS[index]!.subarray(skip, skip + length), at);
          return [{ ...segment(index, at, skip, length), descriptor }];
        }
        FILE.copy(expected, at, skip, skip + length);
        return [{ kind: 'data', at, length, descriptor, offset: skip }];
      });
      const { item } = readItem(segments, { readAlignment: isDirect ? 4096 : readAlignment });
      expect(Buffer.compare(item, expected)).toBe(0);
    }),
    { numRuns: 100 },
  );
});

describe('a cluster is inflated', () => {
  test('directly into its place if the segment covers it', () => {
    const { item } = readItem([segment(0, 0), segment(1, CLUSTER)]);
    const places = inflated.map(({ buffer, byteOffset }) => [buffer === item.buffer, byteOffset]);
    expect(places).toEqual([
      [true, item.byteOffset],
      [true, item.byteOffset + CLUSTER],
    ]);
  });

  test('once for all its consecutive segments, even with bytes between them', () => {
    const data: SplitSegment = { kind: 'data', at: 512, length: 512, descriptor: cached, offset: 0 };
    readItem([segment(0, 0, 0, 512), data, segment(0, 1024, 1024, 512), segment(0, 2048, 8192, 4096)]);
    expect(inflated.length).toBe(1);
  });

  test('again after another cluster, and with another descriptor', () => {
    const first = segment(0, 0, 0, 512);
    const others = [
      segment(1, 512, 0, 512),
      segment(0, 1024, 0, 512),
      { ...segment(0, 1536, 0, 512), storedLength: first.storedLength + 1 },
      { ...segment(0, 2048, 0, 512), descriptor: direct },
    ];
    readItem([first, ...others], { readAlignment: 4096 });
    expect(inflated.length).toBe(5);
  });

  test('again after a failure, without using its partial result', () => {
    const shared = reader({ salvage: true });
    const [item, unreadable] = [new Uint8Array(ITEM), [] as UnreadableItemRange[]];
    const damaged = { ...segment(1, 0, 0, 512), storedLength: 3000 };
    const whole = segment(0, 0, 0, 512);
    for (const each of [whole, damaged, damaged]) shared.read([each], 0, item, unreadable);
    expect(unreadable).toMatchObject(Array(2).fill({ at: 0, length: 512, isKept: true }));
    expect(Buffer.compare(item.subarray(0, 512), CLUSTERS[1]!.subarray(0, 512))).toBe(0);
    shared.read([whole], 0, item, unreadable);
    expect(Buffer.compare(item.subarray(0, 512), CLUSTERS[0]!.subarray(0, 512))).toBe(0);
  });

  test('once for segments in two items, and a flaw is noted at the place of each', () => {
    const shared = reader({ salvage: true });
    const unreadable: UnreadableItemRange[] = [];
    const damaged = { ...segment(1, 1024, 0, 512), storedLength: 3000 };
    shared.read([damaged], 0, new Uint8Array(ITEM), unreadable);
    shared.read([{ ...damaged, at: 0, skip: 512 }], 0, new Uint8Array(ITEM), unreadable);
    expect(unreadable.map(({ at, failure }) => [at, failure.at])).toEqual([
      [1024, 1024],
      [0, 0],
    ]);
  });
});

test('a payload for copying has no trailing bytes', () => {
  for (const readAlignment of [1, 4096]) {
    for (const [index, payload] of PAYLOADS.entries()) {
      const cluster = new Uint8Array(CLUSTER);
      const found = reader({ readAlignment }).readCompressed(segment(index, 0), cluster, []);
      expect(Buffer.compare(found!, payload)).toBe(0);
      expect(Buffer.compare(cluster, CLUSTERS[index]!)).toBe(0);
    }
  }
});

describe('a payload', () => {
  const last = PAYLOADS.length - 1;

  test('may end at the end of the file; bytes beyond read as zeros', () => {
    for (const more of [0, 1, 511, CLUSTER]) {
      for (const [descriptor, readAlignment] of [
        [cached, 1],
        [direct, 4096],
      ] as const) {
        const storedLength = PAYLOADS[last]!.length + more;
        const { item } = readItem([{ ...segment(last, 0), storedLength, descriptor }], { readAlignment });
        expect(Buffer.compare(item.subarray(0, CLUSTER), CLUSTERS[last]!)).toBe(0);
      }
    }
  });

  test('that lacks its last zeros is complete, after any earlier read', async () => {
    const cluster = Buffer.concat([text(300), Buffer.alloc(212)]);
    await writeFile(scratch('cut'), deflateRawSync(cluster, { level: 0 }).subarray(0, -200));
    const descriptor = fs.openSync(scratch('cut'), 'r');
    const cut = { ...segment(0, CLUSTER), descriptor, offset: 0, storedLength: 600, inflatedLength: 512 };
    const { item } = readItem([segment(2, 0), { ...cut, length: 512 }]);
    expect(Buffer.compare(item.subarray(CLUSTER, CLUSTER + 512), cluster)).toBe(0);
    fs.closeSync(descriptor);
  });

  test.each([0, 1, 4096, 2 ** 50])('%i bytes past the end of the file is corrupt', (past) => {
    const offset = FILE.length + past;
    expect(failureOf([{ ...segment(0, 512), offset }])).toEqual({
      ...{ kind: 'corrupt', descriptor: cached, offset, at: 512 },
      message: 'it lies past the end of the file',
    });
  });

  test('with an impossible length is corrupt, and is not read', () => {
    const storedLength = 2 * CLUSTER + 513;
    expect(failureOf([{ ...segment(0, 512), storedLength, descriptor: -1 }])).toMatchObject({
      kind: 'corrupt',
      message: `it takes up ${storedLength} bytes, more than a compressed cluster can`,
    });
    readItem([{ ...segment(0, 512), storedLength: storedLength - 1 }]);
  });

  test('that is damaged, truncated, or not one cluster is corrupt', () => {
    const whole = segment(0, 512);
    for (const damaged of [
      { ...whole, offset: whole.offset - 1 },
      { ...whole, storedLength: 500 },
      { ...whole, inflatedLength: CLUSTER * 2, length: CLUSTER * 2 },
    ]) {
      const { descriptor, offset, at } = damaged;
      expect(failureOf([damaged])).toEqual({
        ...{ kind: 'corrupt', descriptor, offset, at },
        message: expect.stringMatching(/^the deflate stream /),
      });
    }
  });

  test('that yields more than a cluster is read as in QEMU, and reported', () => {
    const longer = { ...segment(0, 512), inflatedLength: CLUSTER / 2, length: CLUSTER / 2 };
    const { descriptor, offset } = longer;
    const { item, unreadable } = readItem([longer]);
    expect(Buffer.compare(item.subarray(512, 512 + CLUSTER / 2), CLUSTERS[0]!.subarray(0, CLUSTER / 2))).toBe(
      0,
    );
    expect(unreadable).toEqual([
      {
        ...{ at: 512, length: CLUSTER / 2, isKept: true },
        failure: {
          ...{ kind: 'corrupt', descriptor, offset, at: 512 },
          message: 'the deflate stream yields more bytes than a cluster',
        },
      },
    ]);
  });

  test('that cannot be read is a failed read', () => {
    expect(failureOf([{ ...segment(0, 512), descriptor: 9999 }])).toMatchObject({
      ...{ kind: 'read', code: 'EBADF', offset: OFFSETS[0], at: 512 },
    });
  });

  test('is lost alone with salvage: its partial output, then zeros, and the reason', () => {
    const damaged = { ...segment(1, CLUSTER, 0, 3000), storedLength: 500 };
    const { item, unreadable } = readItem([segment(0, 0), damaged, segment(2, 2 * CLUSTER)], {
      salvage: true,
    });
    expect(Buffer.compare(item.subarray(0, CLUSTER), CLUSTERS[0]!)).toBe(0);
    expect(Buffer.compare(item.subarray(2 * CLUSTER, 3 * CLUSTER), CLUSTERS[2]!)).toBe(0);
    const failure = { kind: 'corrupt', descriptor: cached, offset: OFFSETS[1], at: CLUSTER };
    const message = expect.stringMatching(/^the deflate stream is cut off: it yields \d+ bytes$/);
    expect(unreadable).toEqual([
      { at: expect.any(Number), length: expect.any(Number), failure: { ...failure, message } },
    ]);
    const [{ at = 0, length = 0 } = {}] = unreadable;
    expect(at).toBeGreaterThan(CLUSTER + 500);
    expect(at + length).toBe(CLUSTER + 3000);
    expect(Buffer.compare(item.subarray(CLUSTER, at), CLUSTERS[1]!.subarray(0, at - CLUSTER))).toBe(0);
    expect(item.subarray(at, 2 * CLUSTER).every((byte) => byte === 0)).toBe(true);
  });
});

test('salvage does not hide a failure of the engine', () => {
  const broken: Decompressor = {
    decompress: () => {
      throw new Error('the engine is broken');
    },
    salvage: () => 0,
    free: () => {},
  };
  const setup = { readAlignment: 1, salvage: true, itemSize: ITEM };
  const read = (decompressors: Map<'zlib', Decompressor>) =>
    new SegmentReader(setup, memoryOf(), decompressors).read([segment(0, 0)], 0, new Uint8Array(ITEM), []);
  expect(() => read(new Map([['zlib', broken]]))).toThrow('the engine is broken');
  expect(() => read(new Map())).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }));
});
