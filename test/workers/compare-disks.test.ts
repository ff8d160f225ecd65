/** The comparison of two disks in a worker, on real files. */
import { closeSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDecompressor } from '../../src/engines/create-engine.js';
import type { ComparisonSetup, Stretch } from '../../src/workers/messages/comparison.js';
import type { Segment } from '../../src/workers/segments.js';
import { DiskComparer } from '../../src/workers/tasks/compare-disks.js';
import { useScratch } from '../e2e/scratch.js';
import { text } from '../engines/samples.js';
import { makeSourceFile, type SourceFile } from './source-file.js';
import { memoryOf } from './worker-setup.js';

const scratch = useScratch();
const CLUSTER = 4096;
const CLUSTERS = 8;
const SIZE = CLUSTERS * CLUSTER;
const DISK = text(SIZE);

let disk: SourceFile;
let comparer: DiskComparer;
beforeAll(async () => {
  disk = makeSourceFile(scratch('disk'), DISK, CLUSTER);
  const setup: ComparisonSetup = {
    task: 'compare disks',
    itemSize: SIZE,
    inflate: ['zlib'],
    salvage: false,
    readAlignment: 1,
  };
  const zlib = await createDecompressor({ type: 'zlib' });
  comparer = new DiskComparer(setup, memoryOf(), new Map([['zlib', zlib]]));
});
afterAll(() => closeSync(disk.descriptor));

const compare = (...stretches: readonly Stretch[]) => comparer.run({ stretches, slot: 0 });
const stretch = (
  at: number,
  length: number,
  one: readonly Segment[],
  other: readonly Segment[],
): Stretch => ({
  at,
  length,
  segments: [one, other],
});

/** The same bytes, plain and from payloads. */
function same(at: number, cluster: number): Stretch {
  const from = cluster * CLUSTER;
  return stretch(at, CLUSTER, [disk.data(from, from, CLUSTER)], [disk.compressed(from, from, CLUSTER)]);
}

/** A malformed payload: a valid one without its first byte. */
function broken(cluster: number): Segment {
  const from = cluster * CLUSTER;
  const segment = disk.compressed(from, from, CLUSTER);
  const [offset = 0, storedLength = 0] = segment.payloads.places;
  return { ...segment, payloads: { ...segment.payloads, places: [offset + 1, storedLength] } };
}

test('equal bytes are equal in any storage, and ranges without segments are zeros', () => {
  const zeros = stretch(3 * CLUSTER, 512, [], []);
  const SAME = { difference: undefined, unreadable: [], unreadableSide: undefined };
  expect(compare(same(0, 2), same(CLUSTER, 5), zeros)).toEqual(SAME);
});

test('the first sector that differs is found, counted from the start of its stretch', () => {
  fc.assert(
    fc.property(fc.nat(CLUSTER - 1), fc.nat(3000), fc.constantFrom(0, 1), (byte, at, side) => {
      // All bytes up to this one are from the disk, that one and the rest are zeros on one side.
      const whole = [disk.data(0, 0, CLUSTER)];
      const part = byte === 0 ? [] : [disk.data(0, 0, byte)];
      const [one, other] = side === 0 ? [whole, part] : [part, whole];
      const { difference } = compare(stretch(at, CLUSTER, one, other));
      expect(difference).toBe(at + Math.floor(byte / 512) * 512);
    }),
    { numRuns: 50 },
  );
});

test('reports a difference or an unreadable stretch, whichever comes first', () => {
  const different = stretch(0, CLUSTER, [disk.data(0, 0, CLUSTER)], []);
  const lost = (at: number) => stretch(at, CLUSTER, [disk.data(0, 0, CLUSTER)], [broken(3)]);
  expect(compare(same(0, 1), { ...different, at: CLUSTER }, lost(2 * CLUSTER))).toMatchObject({
    difference: CLUSTER,
    unreadable: [],
  });
  const { difference, unreadable, unreadableSide } = compare(same(0, 1), lost(CLUSTER), different);
  expect([difference, unreadableSide, unreadable.length]).toEqual([undefined, 1, 1]);
  expect(unreadable[0]).toMatchObject({
    at: CLUSTER,
    length: CLUSTER,
    failure: { kind: 'corrupt', at: CLUSTER },
  });
});

test('reports the first of two unreadable sides, and no difference in that stretch', () => {
  const first = [disk.data(0, 0, 512), { ...broken(3), at: CLUSTER }];
  const both = stretch(512, 2 * CLUSTER, first, [broken(4)]);
  expect(compare(both)).toMatchObject({
    difference: undefined,
    unreadableSide: 0,
    unreadable: [{ at: 512, length: 2 * CLUSTER, failure: { kind: 'corrupt', at: 512 + CLUSTER } }],
  });
});

test('a truncated file is an unreadable stretch', () => {
  const beyond = { ...disk.data(0, 0, CLUSTER), offset: 2 ** 40 };
  const facts = { offset: 2 ** 40, expected: CLUSTER, found: 0 };
  expect(compare(stretch(512, CLUSTER, [], [beyond]))).toMatchObject({
    unreadableSide: 1,
    unreadable: [{ at: 512, length: CLUSTER, failure: { kind: 'short', at: 512, ...facts } }],
  });
});
