/**
 * Fills the last cluster of a source with the old content of the target's disk. A larger disk that is written in place
 * keeps its content after the end of the source.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import type { Source } from '../image/source.js';
import { ITEM_BYTES, type PlannedItem } from '../workers/plan.js';
import { moveSegments, segmentsOf } from '../workers/segments.js';
import type { NextItem } from './input.js';

export class DiskRest {
  readonly #disk: Source;
  readonly #clusterSize: number;
  readonly #sourceSize: number | undefined;

  /**
   * @param disk the target's, as it was
   * @param clusterSize of the target, in bytes
   * @param sourceSize bytes; undefined: a stream, whose end is where its last item ends
   */
  constructor(disk: Source, clusterSize: number, sourceSize: number | undefined) {
    this.#disk = disk;
    this.#clusterSize = clusterSize;
    this.#sourceSize = sourceSize;
  }

  /**
   * @param next gives the items of the source
   * @param onEnd called with the end of the source, in bytes, when its last cluster is filled
   * @returns gives the same items; the last one extends to the end of its cluster
   */
  fill(next: NextItem, onEnd: (end: number) => void): NextItem {
    let isFilled = false;
    const fillUp = async (item: PlannedItem): Promise<PlannedItem> => {
      isFilled = true;
      const end = item.guestOffset + item.length;
      onEnd(end);
      const length = Math.min(roundUp(end, this.#clusterSize), this.#disk.size) - item.guestOffset;
      const rest = await segmentsOf(this.#disk, end, length - item.length);
      return { ...item, length, segments: [...item.segments, ...moveSegments(rest, item.length)] };
    };
    return async (slot) => {
      const item = await next(slot);
      if (item !== undefined) {
        return (item.guestOffset + item.length) % this.#clusterSize === 0 ? item : fillUp(item);
      }
      const size = this.#sourceSize;
      if (isFilled || size === undefined || size % this.#clusterSize === 0) return undefined;
      // A source that ends with a hole has no item there.
      const guestOffset = roundDown(size, ITEM_BYTES);
      return fillUp({ guestOffset, length: size - guestOffset, segments: [] });
    };
  }
}
