/** Pages of SQLite databases, told by their headers: https://sqlite.org/fileformat2.html. */

/** Every file system starts files at sectors. */
const SECTOR = 512;
/** SQLite's usual page. */
const PAGE = 4096;
/** The longest header, and the place of the first cell. */
const LOOKED_AT = 14;
/** Inner pages and leaves, of indexes and tables. */
const INNER: readonly number[] = [2, 5];
const LEAVES: readonly number[] = [10, 13];
/** No page of 64 KiB has more, and two letters are a greater number. */
const CELLS_LIMIT = 0x2000;
const MOST_FRAGMENTED_BYTES = 60;

/**
 * A header: type, first free block, number of cells, where their bytes start, how many are fragmented, for inner pages the
 * last child, then where each cell is.
 */
function isPage(bytes: Uint8Array, at: number): boolean {
  const type = bytes[at] as number;
  const isInner = INNER.includes(type);
  if (!(isInner || LEAVES.includes(type)) || (bytes[at + 7] as number) > MOST_FRAGMENTED_BYTES) return false;
  const number = (offset: number) =>
    ((bytes[at + offset] as number) << 8) | (bytes[at + offset + 1] as number);
  const [free, cells, start] = [number(1), number(3), number(5)];
  const places = isInner ? 12 : 8;
  if (cells === 0 || cells >= CELLS_LIMIT || start < places + 2 * cells) return false;
  return number(places) >= start && (free === 0 || free >= start);
}

/** @returns how many such pages begin, for each 4 KiB */
export function databasePages(cluster: Uint8Array): number {
  let pages = 0;
  for (let at = 0; at + LOOKED_AT <= cluster.length; at += SECTOR) if (isPage(cluster, at)) pages += 1;
  return pages / (cluster.length / PAGE);
}
