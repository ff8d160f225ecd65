/** Makes one range of neighbours of which the same is to be said (entry_mergeable in qemu-img.c). */
import type { MapRange } from './options.js';

/**
 * @param ranges each beginning where the one before ends
 * @returns the longest ranges; one is handed out when the next turns out to be different
 */
export async function* mergeRanges(
  ranges: AsyncIterable<MapRange>,
): AsyncGenerator<MapRange, void, undefined> {
  let current: (MapRange & { length: number }) | undefined;
  for await (const next of ranges) {
    if (current !== undefined && isContinued(current, next)) {
      current.length += next.length;
    } else {
      if (current !== undefined) yield current;
      current = { ...next };
    }
  }
  if (current !== undefined) yield current;
}

function isContinued(current: MapRange, next: MapRange): boolean {
  return (
    current.zero === next.zero &&
    current.data === next.data &&
    current.compressed === next.compressed &&
    current.depth === next.depth &&
    current.present === next.present &&
    current.file === next.file &&
    next.offset === (current.offset === undefined ? undefined : current.offset + current.length)
  );
}
