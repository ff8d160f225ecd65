/** The results do not depend on how the source divides a disk into segments. */
import { closeSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CompressionType } from '../../src/compression-type.js';
import type { Compressor, Decompressor } from '../../src/engines/codec.js';
import { createCompressor, createDecompressor } from '../../src/engines/create-engine.js';
import { chooseCompressor } from '../../src/engines/engine-choice.js';
import type { CompressionItem, CompressionSetup } from '../../src/workers/messages/compression.js';
import type { Segment } from '../../src/workers/segments.js';
import { ClusterCompressor } from '../../src/workers/tasks/compress-clusters.js';
import { RunFinder } from '../../src/workers/tasks/find-runs.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes, records, text } from '../engines/samples.js';
import { makeSourceFile, type SourceFile } from './source-file.js';
import { runsSetupOf, setupOf } from './worker-setup.js';

const scratch = useScratch();
const ITEM = 65_536;
const zeros = (length: number) => Buffer.alloc(length);
const DISK = Buffer.concat([
  ...[text(20_000), zeros(9000), records(16_384), zeros(20_480), randomBytes(30_000)],
  ...[zeros(700), text(100), zeros(100_000), text(40_000, 3), zeros(25_480)],
]).subarray(0, 4 * ITEM);
const CLUSTERS_OF_SOURCES = [512, 4096, 65_536];

let sources: SourceFile[];
let compressor: Compressor;
let decompressors: Map<CompressionType, Decompressor>;
const choice = await chooseCompressor({ type: 'zlib', engine: 'libdeflate' });
beforeAll(async () => {
  sources = CLUSTERS_OF_SOURCES.map((size) => makeSourceFile(scratch(`disk-${size}`), DISK, size));
  compressor = await createCompressor(choice);
  decompressors = new Map([['zlib', await createDecompressor({ type: 'zlib' })]]);
});
afterAll(() => {
  for (const { descriptor } of sources) closeSync(descriptor);
  compressor.free();
});

/** Segments for [base, base + length): cut anywhere, each piece from anywhere, zeros sometimes from nowhere. */
const cuts = fc.record({
  ends: fc.array(
    fc.nat(ITEM / 512).map((sector) => sector * 512),
    { maxLength: 12 },
  ),
  kinds: fc.array(fc.nat(99), { minLength: 1, maxLength: 30 }),
});

function segmentsOf(
  base: number,
  length: number,
  { ends, kinds }: { readonly ends: readonly number[]; readonly kinds: readonly number[] },
): Segment[] {
  const segments: Segment[] = [];
  const stops = [...ends.filter((end) => end > 0 && end < length), length].sort((a, b) => a - b);
  let at = 0;
  for (let turn = 0; at < length; turn += 1) {
    const kind = kinds[turn % kinds.length]!;
    const stop = stops.find((end) => end > at)!;
    const source = sources[kind % sources.length]!;
    const size = CLUSTERS_OF_SOURCES[kind % sources.length]!;
    const inCluster = Math.min(stop, at + size - ((base + at) % size));
    const isZero = DISK.subarray(base + at, base + stop).every((byte) => byte === 0);
    if (isZero && kind % 2 === 0) {
      at = stop;
    } else if (kind < 40) {
      segments.push(source.data(base, base + at, stop - at));
      at = stop;
    } else {
      segments.push(source.compressed(base, base + at, inCluster - at));
      at = inCluster;
    }
  }
  return segments;
}

const items = fc.record({ item: fc.nat(3), short: fc.constantFrom(0, 0, 512, 5120) });

test.each<[string, Partial<CompressionSetup>]>([
  ['compressed', { compressor: choice }],
  ['compressed, zeros too', { compressor: choice, keepZeros: true }],
  ['stored', {}],
  ['stored, zeros too', { keepZeros: true }],
])('clusters, %s', (_, more) => {
  fc.assert(
    fc.property(
      items,
      cuts,
      fc.constantFrom(4096, 65_536),
      fc.constantFrom(1, 4096),
      (place, cut, size, unit) => {
        const base = place.item * ITEM;
        const length = ITEM - place.short;
        const pack = (segments: readonly Segment[]) => {
          const setup = setupOf(size, ITEM, { ...more, readAlignment: unit });
          const packer = new ClusterCompressor(setup, setup, more.compressor && compressor, decompressors);
          const item: CompressionItem = { segments, length, slot: 1 };
          const { sizes, ...rest } = packer.run(item);
          return { sizes: [...sizes], slot: Buffer.from(setup.results), ...rest };
        };
        const whole = pack([sources[0]!.data(base, base, length)]);
        const parts = pack(segmentsOf(base, length, cut));
        expect(parts.slot.equals(whole.slot)).toBe(true);
        expect({ ...parts, slot: 0 }).toEqual({ ...whole, slot: 0 });
      },
    ),
    { numRuns: 60 },
  );
});

test('runs, and every byte in its place', () => {
  fc.assert(
    fc.property(items, cuts, fc.boolean(), ({ item, short }, cut, keepZeros) => {
      const base = item * ITEM;
      const length = ITEM - short;
      const setup = runsSetupOf(ITEM, { sparseSize: 512, keepZeros });
      const packer = new RunFinder(setup, setup, decompressors);
      const segments = segmentsOf(base, length, cut);
      const { runs, unreadable } = packer.run({ segments, length, slot: 1 });
      // Zeros up to the end of the last block, which is written whole.
      const room = Math.ceil(length / 4096) * 4096;
      const expected = Buffer.concat([DISK.subarray(base, base + length), zeros(room - length)]);
      const slots = Buffer.from(setup.results);
      expect(slots.subarray(ITEM, ITEM + room).equals(expected)).toBe(true);
      for (const other of [slots.subarray(0, ITEM), slots.subarray(ITEM + room)]) {
        expect(other.every((byte) => byte === 0xcc)).toBe(true);
      }
      const written: number[] = [];
      for (let at = 0; at < length; at += 512) {
        if (!keepZeros && expected.subarray(at, at + 512).every((byte) => byte === 0)) continue;
        if (written.at(-1) === at) written[written.length - 1] = at + 512;
        else written.push(at, at + 512);
      }
      expect([...runs]).toEqual(written);
      expect(unreadable).toEqual([]);
    }),
    { numRuns: 60 },
  );
});
