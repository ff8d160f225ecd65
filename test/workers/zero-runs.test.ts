/** The written runs, compared with another implementation of the rule and with qemu-img. */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SUBCLUSTERS } from '../../src/qcow2/subclusters.js';
import { type ItemRange, runsToWrite, touchedSubclusters } from '../../src/workers/tasks/zero-runs.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes } from '../engines/samples.js';
import { map } from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';
import { tries } from '../stage.js';

const scratch = useScratch();
const SECTOR = 512;
const ITEM = 2 * 1024 * 1024;

/** Runs of data and of zeros in turn, with lengths from `lengths` in sectors; data has sparse bytes. */
function disk(size: number, seed: number, lengths: readonly number[]): Buffer {
  const dice = randomBytes(10_000, seed);
  const bytes = Buffer.alloc(size);
  let at = 0;
  for (let turn = 0; at < size; turn += 1) {
    const length = SECTOR * lengths[dice[turn]! % lengths.length]!;
    // One byte makes a sector data, be it the last.
    const mark = turn % 3 === 0 ? SECTOR - 1 : 0;
    if (turn % 2 === 0) {
      for (let sector = at; sector < Math.min(size, at + length); sector += SECTOR) bytes[sector + mark] = 1;
    }
    at += length;
  }
  return bytes;
}

/** The runs of the whole disk, item by item. */
function runsOf(bytes: Buffer, ranges: readonly ItemRange[], sparseSize: number): [number, number][] {
  const found: [number, number][] = [];
  for (let base = 0; base < bytes.length; base += ITEM) {
    const item = bytes.subarray(base, base + ITEM);
    const inside = ranges.flatMap(({ at, length }) => {
      const [from, to] = [Math.max(at, base), Math.min(at + length, base + item.length)];
      return from < to ? [{ at: from - base, length: to - from }] : [];
    });
    const runs = runsToWrite(item, inside, sparseSize);
    for (let index = 0; index < runs.length; index += 2) {
      add(found, base + runs[index]!, base + runs[index + 1]!);
    }
  }
  return found;
}

function add(ranges: [number, number][], from: number, to: number): void {
  const last = ranges.at(-1);
  if (last?.[1] === from) last[1] = to;
  else ranges.push([from, to]);
}

describe('the runs', () => {
  test('are the pieces with data and too few zeros between them, each range by itself', () => {
    const sectors = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 40 })), { maxLength: 12 });
    const ranges = fc.array(fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 300 })), { maxLength: 4 });
    const sizes = fc.constantFrom(1, 2, 3, 7, 8, 12, 16, 24, 128, 300);
    fc.assert(
      fc.property(sectors, ranges, sizes, (content, places, sparse) => {
        const flags = content.flatMap(([data, count]) => new Array<boolean>(count).fill(data));
        const bytes = Buffer.alloc(flags.length * SECTOR);
        for (const [sector, data] of flags.entries())
          if (data) bytes[sector * SECTOR + (sector % SECTOR)] = 7;
        let end = 0;
        const cut = places.flatMap(([gap, count]) => {
          const at = end + gap;
          end = Math.min(at + count, flags.length);
          return at < end ? [{ at, count: end - at }] : [];
        });
        const unit = 2 ** Math.floor(Math.log2(sparse));
        const written = new Array<boolean>(flags.length).fill(false);
        for (const { at, count } of cut) {
          const pieceOf = (sector: number) => Math.floor(sector / unit);
          const all = Array.from({ length: count }, (_, index) => at + index);
          const dense = new Set(all.filter((sector) => flags[sector]).map(pieceOf));
          for (const sector of all) {
            const isDense = (other: number) => dense.has(pieceOf(other));
            const before = all.findLast((other) => other <= sector && isDense(other));
            const behind = all.find((other) => other >= sector && isDense(other));
            written[sector] = before !== undefined && behind !== undefined && behind - before - 1 < sparse;
            if (isDense(sector)) written[sector] = true;
          }
        }
        const expected: [number, number][] = [];
        for (const [sector, isWritten] of written.entries()) {
          if (isWritten) add(expected, sector * SECTOR, (sector + 1) * SECTOR);
        }
        const found = runsToWrite(
          bytes,
          cut.map(({ at, count }) => ({ at: at * SECTOR, length: count * SECTOR })),
          sparse * SECTOR,
        );
        expect(found).toEqual(expected.flat());
      }),
      { numRuns: tries(1000) },
    );
  });

  test('never touch a byte outside the ranges', () => {
    const bytes = Buffer.alloc(65_536, 1);
    expect(runsToWrite(bytes, [], 4096)).toEqual([]);
    const ranges = [
      { at: 100, length: 10 },
      { at: 110, length: 5 },
      { at: 5000, length: 1 },
    ];
    expect(runsToWrite(bytes, ranges, 4096)).toEqual([100, 115, 5000, 5001]);
  });

  test('see a last byte behind megabytes of zeros', () => {
    const bytes = Buffer.alloc(ITEM);
    expect(runsToWrite(bytes, [{ at: 0, length: ITEM }], ITEM)).toEqual([]);
    bytes[ITEM - 1] = 1;
    expect(runsToWrite(bytes, [{ at: 0, length: ITEM }], ITEM)).toEqual([0, ITEM]);
  });
});

test('the subclusters that runs touch are told by bits, for any runs', () => {
  const runs = fc
    .uniqueArray(fc.nat(4 * 16_384), { maxLength: 12 })
    .map((ends) => ends.sort((a, b) => a - b).slice(0, ends.length - (ends.length % 2)));
  fc.assert(
    fc.property(runs, fc.constantFrom(512, 4096, 16_384), (list, clusterSize) => {
      const clusters = (4 * 16_384) / clusterSize;
      const expected = new Uint32Array(clusters);
      const size = clusterSize / SUBCLUSTERS;
      for (let cluster = 0; cluster < clusters; cluster += 1) {
        for (let bit = 0; bit < SUBCLUSTERS; bit += 1) {
          const at = cluster * clusterSize + bit * size;
          const touches = list.some(
            (from, index) => index % 2 === 0 && from < at + size && list[index + 1]! > at,
          );
          if (touches) expected[cluster]! |= 2 ** bit;
        }
      }
      expect(touchedSubclusters(list, clusters, clusterSize)).toEqual(expected);
    }),
    { numRuns: 200 },
  );
});

describe('qemu-img writes the same ranges', () => {
  const LENGTHS: readonly (readonly number[])[] = [
    [1, 2, 3, 5, 8, 9],
    [8, 40, 128, 130, 3],
    [1, 1000, 128, 256],
  ];
  /** Sources by what they are: written in full, so that qemu-img sees one range; and with holes. */
  const SOURCES: readonly (readonly [string, Buffer, readonly ItemRange[]])[] = [
    ...LENGTHS.map((lengths, index) => {
      const bytes = disk(ITEM * 1.5 + 5 * SECTOR, index + 1, lengths);
      return [`a full disk of ${lengths} sectors`, bytes, [{ at: 0, length: bytes.length }]] as const;
    }),
    [
      'a disk with holes',
      disk(ITEM, 9, [1, 4, 8, 30]),
      // As the file system keeps them: in blocks.
      [
        [4096, 40_960],
        [49_152, 4096],
        [65_536, 300 * 4096],
      ].map(([at, length]) => ({ at: at!, length: length! })),
    ],
  ];

  async function source(bytes: Buffer, ranges: readonly ItemRange[]): Promise<string> {
    const file = scratch('source.raw');
    const descriptor = openSync(file, 'w');
    for (const { at, length } of ranges) writeSync(descriptor, bytes, at, length, at);
    ftruncateSync(descriptor, bytes.length);
    closeSync(descriptor);
    return file;
  }

  /** What `qemu-img map` says is data, in bytes. */
  async function written(image: string, format: 'raw' | 'qcow2') {
    const found: [number, number][] = [];
    for (const { start, length, data } of await map(image, format))
      if (data) add(found, start, start + length);
    return found;
  }

  /** Runs as a target keeps them that allocates whole `unit`s. */
  function rounded(runs: readonly [number, number][], unit: number, size: number) {
    const found: [number, number][] = [];
    for (const [from, to] of runs) {
      const start = Math.max(found.at(-1)?.[1] ?? 0, Math.floor(from / unit) * unit);
      const end = Math.min(size, Math.ceil(to / unit) * unit);
      if (start < end) add(found, start, end);
    }
    return found;
  }

  const TARGETS = [
    [512, 'off'],
    [4096, 'off'],
    [65_536, 'off'],
    [65_536, 'on'],
  ] as const;
  const SPARSE_SIZES = [4096, 8192, 12_288, 65_536];
  // Every target meets every source, and every -S.
  describe.each(SOURCES.map((source, index) => [...source, index] as const))(
    '%s',
    (_, bytes, ranges, index) => {
      test.each(SPARSE_SIZES)('-S %i', async (sparseSize) => {
        const raw = await source(bytes, ranges);
        const runs = runsOf(bytes, ranges, sparseSize);
        const convert = ['convert', '-S', String(sparseSize), '-f', 'raw', '-O'];
        await runOk('qemu-img', [...convert, 'raw', raw, scratch('target.raw')]);
        // qemu-img fills the first block of every raw file that it makes, zeros or not.
        const first = [[0, 1] as [number, number], ...runs];
        expect(await written(scratch('target.raw'), 'raw')).toEqual(rounded(first, 4096, bytes.length));
        const [clusterSize, extended] = TARGETS[(index + SPARSE_SIZES.indexOf(sparseSize)) % TARGETS.length]!;
        const target = scratch('target.qcow2');
        const created = `cluster_size=${clusterSize},extended_l2=${extended}`;
        await runOk('qemu-img', [...convert, 'qcow2', '-o', created, raw, target]);
        const unit = extended === 'on' ? clusterSize / SUBCLUSTERS : clusterSize;
        expect(await written(target, 'qcow2'), created).toEqual(rounded(runs, unit, bytes.length));
      });
    },
  );
});
