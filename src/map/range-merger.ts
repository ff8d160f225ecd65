/** Makes one range of neighbours of which the same is to be said (entry_mergeable in qemu-img.c). */
import type { MapRange } from './options.js';

export class RangeMerger {
  #open: (MapRange & { length: number }) | undefined;

  /**
   * @param range that begins where the one before ended
   * @returns the ranges before it as one, when it turns out to be different
   */
  add(range: MapRange): MapRange | undefined {
    const open = this.#open;
    if (open !== undefined && isContinued(open, range)) {
      open.length += range.length;
      return undefined;
    }
    this.#open = { ...range };
    return open;
  }

  /** @returns the last range; undefined when there was none */
  end(): MapRange | undefined {
    return this.#open;
  }
}

function isContinued(open: MapRange, next: MapRange): boolean {
  return (
    open.zero === next.zero &&
    open.data === next.data &&
    open.compressed === next.compressed &&
    open.depth === next.depth &&
    open.present === next.present &&
    open.file === next.file &&
    next.offset === (open.offset === undefined ? undefined : open.offset + open.length)
  );
}
