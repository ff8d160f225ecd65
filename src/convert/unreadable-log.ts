/**
 * Reports unreadable ranges in guest order. Ranges that are unreadable in the map are known when an item is planned;
 * ranges that a worker could not read, when the item is done.
 */
import type { UnreadableRange } from '../workers/unreadable-range.js';

export class UnreadableLog {
  readonly #tell: ((range: UnreadableRange) => void) | undefined;
  /** Ranges known from the map, of items that are not done. Ascending. */
  readonly #expected: UnreadableRange[] = [];
  /** End of the last expected range: an item's start may be planned twice. */
  #expectedEnd = 0;
  #bytes = 0;

  constructor(tell: ((range: UnreadableRange) => void) | undefined) {
    this.#tell = tell;
  }

  /** Bytes that became zeros so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a range that is unreadable in the map, before its item is done. */
  expect({ guestOffset, length, error }: UnreadableRange): void {
    const start = Math.max(guestOffset, this.#expectedEnd);
    const end = guestOffset + length;
    if (start >= end) return;
    this.#expectedEnd = end;
    this.#expected.push({ guestOffset: start, length: end - start, error });
  }

  /** Reports the unreadable ranges up to the end of an item that is done. @param end of the item, in bytes */
  itemDone(found: readonly UnreadableRange[], end: number): void {
    const until = this.#expected.findIndex(({ guestOffset }) => guestOffset >= end);
    const before = this.#expected.splice(0, until < 0 ? this.#expected.length : until);
    for (const range of [...before, ...found].sort((a, b) => a.guestOffset - b.guestOffset)) {
      if (!range.isKept) this.#bytes += range.length;
      this.#tell?.(range);
    }
  }

  /** Reports the rest, after the last item. */
  end(): void {
    this.itemDone([], Number.POSITIVE_INFINITY);
  }
}
