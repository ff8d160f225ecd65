import { expect, test } from 'vitest';
import { databasePages } from '../../src/engines/database-pages.js';
import { databaseCluster, PAGE } from './database-cluster.js';
import { CLUSTER, joined, randomBytes, records, text } from './samples.js';

const row = (number: number) => Buffer.from(`name ${number}`);

test.each([0, 512, 1024, 3584])('pages are found from byte %i of a cluster on', (offset) => {
  expect(databasePages(databaseCluster(row, offset))).toBe(offset === 0 ? 1 : 15 / 16);
});

test('pages of 8 KiB count half', () => {
  const cluster = databaseCluster(row);
  for (let at = PAGE; at < CLUSTER; at += 2 * PAGE) cluster.fill(0x61, at, at + PAGE);
  expect(databasePages(cluster)).toBe(1 / 2);
});

test.each<[string, number, number]>([
  ['an unknown type', 0, 7],
  ['a free block before the cells', 2, 8],
  ['no cells', 4, 0],
  ['more cells than fit', 3, 0x10],
  ['cells within the header', 5, 0],
  ['too many fragmented bytes', 7, 61],
  ['a cell before all cells', 8, 0],
])('a page with %s is none', (_, at, byte) => {
  const cluster = databaseCluster(row);
  for (let page = 0; page < CLUSTER; page += PAGE) {
    cluster[page + at] = byte;
    if (at === 4) cluster[page + 3] = 0;
    if (at === 5) cluster[page + 6] = 9;
  }
  expect(databasePages(cluster)).toBe(0);
});

test('other content has hardly any', () => {
  const lines = Buffer.alloc(CLUSTER, '\n\t\tif (a) return;\r\n');
  for (const content of [new Uint8Array(CLUSTER), lines, text(CLUSTER), records(CLUSTER)]) {
    expect(databasePages(content)).toBe(0);
  }
  const random = joined(...Array.from({ length: 16 }, (_, seed) => randomBytes(CLUSTER, seed + 1)));
  expect(databasePages(random)).toBeLessThan(0.05);
});
