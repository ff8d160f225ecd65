/** Payloads of the source that are copied into the target: conditions and counts. */
import { closeSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CompressionType } from '../../src/compression-type.js';
import type { Compressor, CompressorChoice, Decompressor } from '../../src/engines/codec.js';
import { createDecompressor } from '../../src/engines/create-engine.js';
import { chooseCompressor } from '../../src/engines/engine-choice.js';
import { ItemError } from '../../src/workers/item-failure.js';
import type { CompressionItem, CompressionSetup } from '../../src/workers/messages/compression.js';
import type { CompressedSegment, Segment } from '../../src/workers/segments.js';
import { ClusterCompressor } from '../../src/workers/tasks/compress-clusters.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes, text } from '../engines/samples.js';
import { makeSourceFile, type SourceFile } from './source-file.js';
import { piecesOf, setupOf } from './worker-setup.js';

const scratch = useScratch();
const CLUSTER = 4096;
/** Clusters by what they are, each in its place on the disk. */
const KINDS = ['text', 'other', 'zeros', 'random', 'same', 'same', 'same', 'half'] as const;
const DISK = Buffer.concat([
  ...[text(CLUSTER), text(CLUSTER, 2), new Uint8Array(CLUSTER), randomBytes(CLUSTER)],
  ...new Array<Uint8Array>(3).fill(text(CLUSTER, 4)),
  ...[text(CLUSTER / 2, 5), new Uint8Array(CLUSTER / 2)],
]);
const at = (kind: (typeof KINDS)[number]) => KINDS.indexOf(kind) * CLUSTER;

let source: SourceFile;
let zlib: Decompressor;
let choice: CompressorChoice;
beforeAll(async () => {
  source = makeSourceFile(scratch('source'), DISK, CLUSTER);
  zlib = await createDecompressor({ type: 'zlib' });
  choice = await chooseCompressor({ type: 'zlib' });
});
afterAll(() => {
  closeSync(source.descriptor);
  zlib.free();
});

/** Makes of every cluster the same five bytes; counts what it is asked. */
class FiveBytes implements Compressor {
  asked: Buffer[] = [];

  compress(input: Uint8Array, output: Uint8Array): number {
    this.asked.push(Buffer.from(input));
    output.set([1, 2, 3, 4, 5]);
    return 5;
  }

  free(): void {}
}

function pack(segments: readonly Segment[], more: Partial<CompressionSetup> = {}, length = DISK.length) {
  const setup = setupOf(CLUSTER, DISK.length, { compressor: choice, passthrough: true, ...more });
  const compressor = new FiveBytes();
  const decompressors = new Map<CompressionType, Decompressor>([
    ['zlib', zlib],
    ['zstd', zlib],
  ]);
  const packer = new ClusterCompressor(setup, setup, setup.compressor && compressor, decompressors);
  const item: CompressionItem = { segments, length, slot: 1 };
  const packed = packer.run(item);
  const pieces = piecesOf(setup, packed.sizes, 1);
  return { ...packed, sizes: [...packed.sizes], pieces, asked: compressor.asked };
}

/** The whole cluster of a kind, in its place. */
const whole = (kind: (typeof KINDS)[number]) => source.compressed(0, at(kind), CLUSTER);

describe('a payload of a whole cluster', () => {
  test('is copied into the slot byte for byte, without the following bytes of the file', () => {
    const { sizes, pieces, copied, asked } = pack([whole('text'), whole('other')]);
    expect(pieces[0]!.equals(source.payloads[0]!)).toBe(true);
    expect(pieces[1]!.equals(source.payloads[1]!)).toBe(true);
    expect([copied, asked.length]).toEqual([2, 0]);
    expect(sizes.slice(2)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test('is copied among clusters of any other kinds', () => {
    const isCopied = fc.array(fc.boolean(), { minLength: KINDS.length, maxLength: KINDS.length });
    fc.assert(
      fc.property(isCopied, (flags) => {
        const places = KINDS.map((_, index) => index * CLUSTER);
        const segments = places.map((place, index) =>
          (flags[index] ? source.compressed : source.data)(0, place, CLUSTER),
        );
        const { pieces, copied } = pack(segments);
        let count = 0;
        for (const [index, kind] of KINDS.entries()) {
          const piece = pieces[index]!;
          if (kind === 'zeros') expect(piece.length).toBe(0);
          // The payload of random bytes is longer than a cluster.
          else if (kind === 'random')
            expect(piece.equals(DISK.subarray(at(kind), at(kind) + CLUSTER))).toBe(true);
          else if (flags[index]) {
            count += 1;
            expect(piece.equals(source.payloads[index]!)).toBe(true);
          } else if (index > 0 && KINDS[index - 1] === kind) {
            // The same bytes as the cluster before: what that became.
            expect(piece.equals(pieces[index - 1]!)).toBe(true);
          } else expect(piece.length).toBe(5);
        }
        expect(copied).toBe(count);
      }),
      { numRuns: 80 },
    );
  });

  test('of zeros is a zero cluster, unless zeros are kept', () => {
    expect(pack([whole('zeros')])).toMatchObject({ sizes: new Array(8).fill(0), copied: 0 });
    const { pieces, copied } = pack([whole('zeros')], { keepZeros: true });
    expect([pieces[2]!.equals(source.payloads[2]!), copied]).toEqual([true, 1]);
  });

  test('is copied if the disk ends inside the cluster and the rest is zeros', () => {
    for (const length of [DISK.length, DISK.length - 512, DISK.length - CLUSTER / 2]) {
      const last = { ...whole('half'), length: length - at('half') };
      const { pieces, copied } = pack([last], {}, length);
      expect([pieces[7]!.equals(source.payloads[7]!), copied]).toEqual([true, 1]);
    }
  });

  test('is recompressed if it has data after the end of the disk, which the target must not have', () => {
    const length = DISK.length - CLUSTER / 2 - 512;
    const last = { ...whole('half'), length: length - at('half') };
    const expected = Buffer.alloc(CLUSTER);
    DISK.copy(expected, 0, at('half'), length);
    const { copied, asked } = pack([last], {}, length);
    expect([copied, asked.length, asked[0]!.equals(expected)]).toEqual([0, 1, true]);
  });
});

describe('a payload is not copied', () => {
  test.each<[string, (segment: CompressedSegment) => Segment, Partial<CompressionSetup>]>([
    ['unless asked for', (segment) => segment, { passthrough: false }],
    ['when nothing is compressed', (segment) => segment, { compressor: undefined }],
    [
      'of another compression type',
      (segment) => ({ ...segment, payloads: { ...segment.payloads, type: 'zstd' } }),
      {},
    ],
    ['if only a part of it is needed', (segment) => ({ ...segment, length: CLUSTER - 512 }), {}],
    ['from another offset in the cluster', (segment) => ({ ...segment, at: segment.at + 512 }), {}],
  ])('%s', (_, change, more) => {
    const segment = change(whole('text'));
    const { copied, asked, pieces } = pack([segment], more);
    expect(copied).toBe(0);
    const expected = Buffer.alloc(DISK.length);
    DISK.copy(expected, segment.at, 0, segment.length);
    const stored = more.compressor === undefined && 'compressor' in more ? pieces : asked;
    const found = Buffer.concat(stored);
    expect(found.equals(expected.subarray(0, found.length))).toBe(true);
    expect(found.length).toBeGreaterThanOrEqual(segment.at + segment.length);
  });

  test('if the disk ends inside a cluster that begins earlier', () => {
    const segment = source.compressed(0, at('half') + 512, CLUSTER - 512);
    const { copied, asked } = pack([{ ...segment, at: at('half') }], {}, DISK.length - 512);
    const expected = Buffer.alloc(CLUSTER);
    DISK.copy(expected, 0, at('half') + 512);
    expect([copied, asked[0]!.equals(expected)]).toEqual([0, true]);
  });

  test('of clusters of another size', () => {
    const large = makeSourceFile(scratch('large'), DISK.subarray(0, 2 * CLUSTER), 2 * CLUSTER);
    const small = makeSourceFile(scratch('small'), DISK.subarray(0, CLUSTER), 512);
    expect(pack([large.compressed(0, 0, 2 * CLUSTER)])).toMatchObject({ copied: 0 });
    expect(pack([large.compressed(0, 0, CLUSTER)])).toMatchObject({ copied: 0 });
    const parts = Array.from({ length: 8 }, (_, index) => small.compressed(0, index * 512, 512));
    const { copied, asked } = pack(parts);
    expect([copied, asked.length, asked[0]!.equals(DISK.subarray(0, CLUSTER))]).toEqual([0, 1, true]);
    for (const { descriptor } of [large, small]) closeSync(descriptor);
  });
});

describe('a damaged payload', () => {
  /** A stream of a cluster less one byte: no checksum would tell. */
  const short = deflateRawSync(DISK.subarray(0, CLUSTER - 1));
  let damaged: CompressedSegment;
  let file: SourceFile;
  beforeAll(() => {
    file = makeSourceFile(
      scratch('damaged'),
      Buffer.concat([short, Buffer.alloc(CLUSTER - short.length)]),
      CLUSTER,
    );
    damaged = withPayload(file.descriptor, short.length);
  });
  afterAll(() => closeSync(file.descriptor));

  /** The first cluster, whose payload begins a file. */
  function withPayload(descriptor: number, length: number): CompressedSegment {
    const segment = whole('text');
    return { ...segment, payloads: { ...segment.payloads, descriptor, places: [0, length] } };
  }

  test('is an error even if it would only be copied', () => {
    expect(() => pack([damaged])).toThrow(ItemError);
  });

  test('with salvage is recompressed from its partial output and zeros, and its neighbours are copied', () => {
    const raw = source.data(0, 3 * CLUSTER, CLUSTER);
    const lost = { ...raw, descriptor: -1 };
    const { sizes, asked, copied, unreadable } = pack([damaged, whole('other'), lost], { salvage: true });
    expect(sizes.slice(0, 4)).toEqual([5, source.payloads[1]!.length, 0, 0]);
    const kept = Buffer.concat([DISK.subarray(0, CLUSTER - 1), Buffer.alloc(1)]);
    expect([asked.length, asked[0]!.equals(kept)]).toEqual([1, true]);
    expect(copied).toBe(1);
    expect(unreadable.map(({ at: from, length, failure }) => [from, length, failure.kind])).toEqual([
      [CLUSTER - 1, 1, 'corrupt'],
      [3 * CLUSTER, CLUSTER, 'read'],
    ]);
  });

  test('that QEMU reads is recompressed, without salvage too, and reported', () => {
    const longer = deflateRawSync(Buffer.concat([DISK.subarray(0, CLUSTER), text(100)]));
    const odd = makeSourceFile(scratch('odd'), Buffer.concat([longer, Buffer.alloc(CLUSTER)]), CLUSTER);
    const segment = withPayload(odd.descriptor, longer.length);
    const { sizes, asked, copied, unreadable } = pack([segment]);
    closeSync(odd.descriptor);
    expect([sizes[0], copied, asked.length]).toEqual([5, 0, 1]);
    expect(asked[0]!.equals(DISK.subarray(0, CLUSTER))).toBe(true);
    expect(unreadable).toMatchObject([{ at: 0, length: CLUSTER, isKept: true }]);
  });
});
