/** Runs of payloads: those that lie one after the other in the file can be read in one request. */
import { isExportNumber } from '../../nbd/open-exports.js';

/**
 * The most bytes that are read from an export for one payload and those that follow it: a request costs as much as some
 * ten thousand bytes, and over a distance far more.
 */
export const MOST_READ_TOGETHER = 2 ** 18;

/**
 * @param descriptor of the file; only an export is read beyond a payload
 * @param places numbers of payloads in the order in which they are read, `fields` for each; the last two of each are
 *   its offset and the most bytes that it may take
 * @returns for each payload the end of those after it that follow it in the file without a gap, in bytes; undefined
 *   for a file
 */
export function endsOfRuns(
  descriptor: number,
  places: ArrayLike<number>,
  fields: number,
): Float64Array | undefined {
  if (!isExportNumber(descriptor)) return undefined;
  const ends = new Float64Array(places.length / fields);
  for (let index = ends.length - 1; index >= 0; index -= 1) {
    const at = (index + 1) * fields - 2;
    const offset = places[at] as number;
    const end = offset + (places[at + 1] as number);
    const next = places[at + fields];
    // Lengths are upper bounds in sectors, so a payload begins before the end of the one before it.
    const goesOn = next !== undefined && next >= offset && next <= end;
    ends[index] = goesOn ? Math.max(end, ends[index + 1] as number) : end;
  }
  return ends;
}
