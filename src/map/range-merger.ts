/** Merges adjacent ranges with the same status (entry_mergeable in qemu-img.c). */
import type { MapRange } from './options.js';

export class RangeMerger {
  #open: (MapRange & { length: number }) | undefined;

  /**
   * @param range that begins where the previous one ended
   * @returns the merged ranges before it, if it differs from them
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
