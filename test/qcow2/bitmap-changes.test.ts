/** The bits of a bitmap as ranges of the disk. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import { BitmapChanges } from '../../src/qcow2/bitmap-changes.js';
import { bitmapTableEntries, encodeBitmapTable } from '../../src/qcow2/bitmap-table.js';
import { tries } from '../stage.js';
import { MemoryFile } from './memory-file.js';

const CLUSTER = 512;
const GRANULE = 512;
/** Bits of more than two of the pieces that are read at once. */
const MANY = 2 * 65_536 * 8 + 5;

/** A bitmap with these runs of equal bits, beginning with zeros. */
function bitmapOf(runs: readonly number[]) {
  const bits: boolean[] = runs.flatMap((length, index) => Array<boolean>(length).fill(index % 2 === 1));
  const virtualSize = Math.max(1, bits.length) * GRANULE;
  const tableEntries = bitmapTableEntries(virtualSize, 9, CLUSTER);
  const tableBytes = Math.ceil((tableEntries * 8) / CLUSTER) * CLUSTER;
  const bytes = Buffer.alloc(CLUSTER + tableBytes + tableEntries * CLUSTER);
  const first = CLUSTER + tableBytes;
  const entries = Array.from({ length: tableEntries }, (_, index) => ({
    kind: 'data' as const,
    offset: hostOffset(first + index * CLUSTER),
  }));
  bytes.set(encodeBitmapTable(entries), CLUSTER);
  for (const [bit, value] of bits.entries()) {
    if (value) bytes[first + Math.floor(bit / 8)]! += 2 ** (bit % 8);
  }
  const place = { tableOffset: hostOffset(CLUSTER), tableEntries };
  const bitmap = { name: 'b', granularityBits: 9, auto: true, inUse: false, ...place };
  return { bits, changes: new BitmapChanges(new MemoryFile(bytes), { clusterBits: 9, virtualSize }, bitmap) };
}

test('every byte of the disk is changed as its bit says, in any order of questions', async () => {
  const runs = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 60 });
  const questions = fc.array(fc.nat(), { minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(runs, questions, async (list, where) => {
      const { bits, changes } = bitmapOf(list);
      for (const offset of where.map((at) => at % Math.max(1, bits.length * GRANULE))) {
        const { length, isChanged } = await changes.changesAt(offset);
        expect(length).toBeGreaterThan(0);
        const last = Math.min(Math.ceil((offset + length) / GRANULE), bits.length);
        expect(bits.slice(Math.floor(offset / GRANULE), last).every((bit) => bit === isChanged)).toBe(true);
      }
    }),
    { numRuns: tries(200) },
  );
});

test('runs that are longer than a piece of the bitmap are found from start to end, twice', async () => {
  const { bits, changes } = bitmapOf([3, MANY, 9, 1]);
  for (const _ of [1, 2]) {
    const found: [from: number, to: number][] = [];
    for (let at = 0; at < bits.length * GRANULE; ) {
      const { length, isChanged } = await changes.changesAt(at);
      const last = found.at(-1);
      const [from, to] = [at / GRANULE, Math.min((at + length) / GRANULE, bits.length)];
      if (isChanged && last?.[1] === from) last[1] = to;
      else if (isChanged) found.push([from, to]);
      at += length;
    }
    expect(found).toEqual([
      [3, MANY + 3],
      [MANY + 12, MANY + 13],
    ]);
  }
});
