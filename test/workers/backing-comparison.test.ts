/** Overlays: the result for a cluster that the backing file has, does not have, or cannot read. */
import { closeSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CompressionType } from '../../src/compression-type.js';
import type { Decompressor } from '../../src/engines/codec.js';
import { createDecompressor } from '../../src/engines/create-engine.js';
import { UNCHANGED } from '../../src/qcow2/packed-clusters.js';
import { ItemError } from '../../src/workers/item-failure.js';
import type { CompressionItem, CompressionSetup } from '../../src/workers/messages/compression.js';
import type { Segment } from '../../src/workers/segments.js';
import { ClusterCompressor } from '../../src/workers/tasks/compress-clusters.js';
import { useScratch } from '../e2e/scratch.js';
import { text } from '../engines/samples.js';
import { makeSourceFile, type SourceFile } from './source-file.js';
import { piecesOf, setupOf } from './worker-setup.js';

const scratch = useScratch();
const CLUSTER = 4096;
const CLUSTERS = 12;
/** Contents that a cluster may have; the first is zeros, the last two differ in the last byte. */
const CONTENTS = [new Uint8Array(CLUSTER), text(CLUSTER), text(CLUSTER, 2), text(CLUSTER, 2).slice()];
CONTENTS[3]![CLUSTER - 1]! ^= 1;

let file: SourceFile;
let decompressors: Map<CompressionType, Decompressor>;
beforeAll(async () => {
  file = makeSourceFile(scratch('contents'), Buffer.concat(CONTENTS), CLUSTER);
  decompressors = new Map([['zlib', await createDecompressor({ type: 'zlib' })]]);
});
afterAll(() => closeSync(file.descriptor));

/** Cluster `index` with a content, from wherever `from` says; zeros may come from nowhere. */
function segmentOf(index: number, content: number, from: number): Segment[] {
  if (content === 0 && from === 0) return [];
  const make = from === 1 ? file.compressed : file.data;
  return [{ ...make(0, content * CLUSTER, CLUSTER), at: index * CLUSTER }];
}

function pack(item: Omit<CompressionItem, 'slot'>, more: Partial<CompressionSetup> = {}) {
  const setup = setupOf(CLUSTER, CLUSTERS * CLUSTER, more);
  const { sizes, ...rest } = new ClusterCompressor(setup, setup, undefined, decompressors).run({
    ...item,
    slot: 2,
  });
  return { sizes: [...sizes], pieces: piecesOf(setup, sizes, 2), ...rest };
}

test('only differences are stored, for any disk over any backing file and any clusters to compare', () => {
  const cluster = fc.record({
    source: fc.nat(3),
    backing: fc.nat(3),
    from: fc.nat(2),
    looked: fc.boolean(),
  });
  const clusters = fc.array(cluster, { minLength: 1, maxLength: CLUSTERS });
  fc.assert(
    fc.property(clusters, fc.boolean(), (list, keepZeros) => {
      const inside = list.map((each, index) => ({ ...each, index })).filter(({ looked }) => looked);
      const item = {
        segments: inside.flatMap(({ index, source, from }) => segmentOf(index, source, from)),
        backing: inside.flatMap(({ index, backing, from }) => segmentOf(index, backing, 2 - from)),
        changed: inside.map(({ index }) => [index, index + 1] as const),
        length: list.length * CLUSTER,
      };
      const { sizes, pieces } = pack(item, { keepZeros });
      for (const [index, { source, backing, looked }] of list.entries()) {
        const isDropped = source === 0 && !keepZeros;
        expect(sizes[index]).toBe(!looked || source === backing ? UNCHANGED : isDropped ? 0 : CLUSTER);
        if (sizes[index] === CLUSTER) {
          expect(Buffer.compare(pieces[index]!, CONTENTS[source]!), `cluster ${index}`).toBe(0);
        }
      }
    }),
    { numRuns: 150 },
  );
});

test('without a backing file no cluster is unchanged', () => {
  const item = { segments: segmentOf(1, 1, 2), length: 2 * CLUSTER };
  expect(pack(item).sizes).toEqual([0, CLUSTER]);
});

test('a backing file that ends before the cluster holds zeros there', () => {
  const changed = [[0, 3]] as const;
  const item = { segments: segmentOf(1, 1, 2), backing: [], changed, length: 3 * CLUSTER };
  expect(pack(item).sizes).toEqual([UNCHANGED, CLUSTER, UNCHANGED]);
});

test('without the backing file’s bytes every changed cluster is stored, and no other one', () => {
  const changed = [[1, 3]] as const;
  const item = { segments: segmentOf(1, 1, 2), changed, length: 4 * CLUSTER };
  expect(pack(item).sizes).toEqual([UNCHANGED, CLUSTER, 0, UNCHANGED]);
});

test('a cluster that equals an omitted one before it is stored with its own bytes', () => {
  const segments = [0, 1, 2].flatMap((index) => segmentOf(index, 1, 2));
  const backing = [...segmentOf(0, 2, 2), ...segmentOf(1, 1, 2), ...segmentOf(2, 2, 2)];
  const changed = [[0, 3]] as const;
  const { sizes, pieces } = pack({ segments, backing, changed, length: 3 * CLUSTER });
  expect(sizes).toEqual([CLUSTER, UNCHANGED, CLUSTER]);
  expect(Buffer.compare(pieces[2]!, CONTENTS[1]!)).toBe(0);
});

test('an unreadable backing file is a failure; with salvage no cluster counts as unchanged', () => {
  const lost = [{ ...segmentOf(1, 1, 2)[0]!, descriptor: -1 } as Segment];
  const segments = segmentOf(0, 1, 2);
  const item = { segments, backing: lost, changed: [[0, 3]] as const, length: 3 * CLUSTER };
  expect(() => pack(item)).toThrow(ItemError);
  // Zeros in the second cluster, as salvage has them in the backing file: they must be said all the same.
  const { sizes, unreadable } = pack(item, { salvage: true });
  expect(sizes).toEqual([CLUSTER, 0, UNCHANGED]);
  // Nothing of the disk is lost.
  expect(unreadable).toEqual([]);
});

test('an item does not depend on the previous one', () => {
  const setup = setupOf(CLUSTER, CLUSTERS * CLUSTER, { salvage: true });
  const packer = new ClusterCompressor(setup, setup, undefined, decompressors);
  const over = (backing: readonly Segment[]): CompressionItem => ({
    ...{
      segments: segmentOf(0, 1, 2),
      backing,
      changed: [[0, 1]],
      length: 2 * CLUSTER,
      slot: 0,
    },
  });
  const same = segmentOf(0, 1, 2);
  expect([...packer.run(over([{ ...same[0]!, descriptor: -1 } as Segment])).sizes]).toEqual([
    CLUSTER,
    UNCHANGED,
  ]);
  expect([...packer.run(over(same)).sizes]).toEqual([UNCHANGED, UNCHANGED]);
  expect([...packer.run(over([])).sizes]).toEqual([CLUSTER, UNCHANGED]);
  const { changed: _, ...plain } = over([]);
  expect([...packer.run(plain).sizes]).toEqual([CLUSTER, 0]);
});
