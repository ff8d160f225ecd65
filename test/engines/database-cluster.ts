/** Pages of an SQLite database, as https://sqlite.org/fileformat2.html has them. */
import { CLUSTER } from './samples.js';

export const PAGE = 4096;

/** @param row content of a row, by its number @returns a leaf of a table */
function databasePage(row: (number: number) => Uint8Array, first = 0): Uint8Array {
  const page = new Uint8Array(PAGE);
  const view = new DataView(page.buffer);
  let start = PAGE;
  let cells = 0;
  for (;;) {
    const content = row(first + cells);
    // Length and number of the row.
    const size = content.length + 4;
    if (start - size < 8 + 2 * (cells + 1)) break;
    start -= size;
    page.set([content.length, 0x80 | (((first + cells) >> 7) & 127), (first + cells) & 127, 2], start);
    page.set(content, start + 4);
    view.setUint16(8 + 2 * cells, start);
    cells += 1;
  }
  page[0] = 13;
  view.setUint16(3, cells);
  view.setUint16(5, start);
  return page;
}

/** @param offset of the first page, of which the database begins elsewhere than the cluster */
export function databaseCluster(row: (number: number) => Uint8Array, offset = 0): Uint8Array {
  const cluster = new Uint8Array(CLUSTER);
  for (let at = offset; at + PAGE <= CLUSTER; at += PAGE) cluster.set(databasePage(row, at >> 4), at);
  return cluster;
}
