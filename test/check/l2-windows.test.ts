import { expect, test } from 'vitest';
import { TableWalk } from '../../src/check/l2-windows.js';
import { offsetOfHalves, wholeEntry } from '../../src/qcow2/entry-bits.js';
import { geometry } from '../../src/qcow2/geometry.js';
import { SizedFile } from './sized-file.js';

const CLUSTER = 512;

/** A file with an L1 table of these offsets in its first clusters, and L2 tables whose first entry is their number. */
function fileWith(offsets: readonly number[], clusters: number): SizedFile {
  const bytes = Buffer.alloc(clusters * CLUSTER);
  for (let cluster = 0; cluster < clusters; cluster += 1) {
    bytes.writeBigUInt64BE(BigInt(cluster), cluster * CLUSTER);
  }
  for (const [index, offset] of offsets.entries()) bytes.writeBigUInt64BE(BigInt(offset), index * 8);
  return new SizedFile(bytes);
}

async function walked(file: SizedFile, entries: number, wants = (_: number) => true) {
  const tables: (readonly [offset: number, first: number])[] = [];
  const seen: number[] = [];
  const image = { file, geometry: geometry(9, 16) };
  await new TableWalk(image).walk(
    { offset: 0, entries },
    {
      l1Entry: ({ index, l2Offset }) => {
        seen.push(index);
        return wants(l2Offset);
      },
      l2Entries: (view, tableOffset, from, to) => {
        expect([from, to, view.byteLength]).toEqual([0, 64, CLUSTER]);
        tables.push([tableOffset, view.getUint32(4)]);
      },
      flush: () => undefined,
    },
    undefined,
  );
  return { tables, seen };
}

test('tables come in the order of the entries, for any order in the file', async () => {
  const clusters = [9, 10, 11, 5, 30, 6, 6, 12, 9];
  const file = fileWith(
    clusters.map((cluster) => cluster * CLUSTER),
    40,
  );
  const { tables, seen } = await walked(file, 60);
  expect(tables).toEqual(clusters.map((cluster) => [cluster * CLUSTER, cluster]));
  expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

test('adjacent tables are read at once', async () => {
  const clusters = Array.from({ length: 30 }, (_, index) => index + 2);
  const file = fileWith(
    clusters.map((cluster) => cluster * CLUSTER),
    40,
  );
  await walked(file, 60);
  expect(file.reads).toEqual([
    { offset: 0, length: 480 },
    { offset: 2 * CLUSTER, length: 30 * CLUSTER },
  ]);
});

test('a table that has changed since the last walk is read again', async () => {
  const file = fileWith([10 * CLUSTER], 40);
  const walk = new TableWalk({ file, geometry: geometry(9, 16) });
  const firsts: number[] = [];
  const visitor = {
    l1Entry: () => true,
    l2Entries: (view: DataView) => void firsts.push(view.getUint32(4)),
    flush: () => undefined,
  };
  await walk.walk({ offset: 0, entries: 1 }, visitor, undefined);
  file.bytes.writeBigUInt64BE(77n, 10 * CLUSTER);
  await walk.walk({ offset: 0, entries: 1 }, visitor, undefined);
  expect(firsts).toEqual([10, 77]);
});

test('entries of 0, tables past the end and unwanted tables are skipped', async () => {
  const file = fileWith([0, 10 * CLUSTER, 0, 2 ** 50, 11 * CLUSTER, 12 * CLUSTER], 40);
  const { tables, seen } = await walked(file, 8, (offset) => offset !== 11 * CLUSTER);
  expect(tables.map(([offset]) => offset)).toEqual([10 * CLUSTER, 12 * CLUSTER]);
  expect(seen).toEqual([1, 3, 4, 5]);
});

test('an unaligned table is read at its offset', async () => {
  const file = fileWith([10 * CLUSTER, 0], 40);
  file.bytes.writeBigUInt64BE(BigInt(3 * 4096 + 512), 8);
  file.bytes.writeBigUInt64BE(77n, 3 * 4096 + 512);
  const image = { file: new SizedFile(file.bytes, 4 * 4096 + 1024), geometry: geometry(12, 16) };
  const tables: number[] = [];
  await new TableWalk(image).walk(
    { offset: 8, entries: 1 },
    {
      l1Entry: () => true,
      l2Entries: (_, tableOffset) => {
        tables.push(tableOffset);
      },
      flush: () => undefined,
    },
    undefined,
  );
  expect(tables).toEqual([3 * 4096 + 512]);
});

test('halves of an entry are combined exactly', () => {
  expect(offsetOfHalves(0xffffffff, 0xffffffff)).toBe(Number(0x00ff_ffff_ffff_fe00n));
  expect(BigInt(offsetOfHalves(0x80ffffff, 0xfffffe01))).toBe(0x00ff_ffff_ffff_fe00n);
  expect(wholeEntry(0x80000001, 0xfffffffe)).toBe(0x8000_0001_ffff_fffen);
});
