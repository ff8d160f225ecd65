/**
 * Cuts a source into work items: guest ranges on a fixed grid, with the segments that hold data. Holes
 * are stepped over in one stride, however large, and never become an item unless every cluster is to be
 * stored.
 */
import { roundDown } from '../arithmetic.js';
import type { Source } from '../image/source.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import { type Segment, segmentOf } from './segments.js';
import type { UnreadableRange } from './unreadable-range.js';

/** A piece of work and where it lies on the virtual disk, in bytes. */
export interface PlannedItem {
  readonly guestOffset: number;
  /** At most the item size; less only at the end of the disk. */
  readonly length: number;
  readonly segments: readonly Segment[];
  /** Over a backing file only: what that holds, and which clusters may differ (see WorkItem). */
  readonly backing?: readonly Segment[];
  readonly changed?: readonly (readonly [from: number, to: number])[];
}

export interface PlanSettings {
  /** The grid in bytes. */
  readonly itemSize: number;
  /** Make items of holes too. */
  readonly keepZeros: boolean;
  /** Called for what the map cannot tell, which then counts as zeros; undefined: that is an error. */
  readonly onUnreadable?: ((stretch: UnreadableRange) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Bytes of one work item, a multiple of every cluster size: long enough that handing it over costs little
 * (1 MiB took 3 % more CPU time in all), short enough that a few for each worker stay small.
 */
export const ITEM_BYTES = 2 * 1024 * 1024;

/**
 * Unreadable ranges after which the next item is planned even if it holds no data. They are kept until the items before
 * them are done, and an item bounds how many there are.
 */
export const MOST_UNREADABLE = 256;

/**
 * @param source what is read
 * @returns the items in guest order
 * @throws what the source's map throws, or says of what cannot be read; ERR_ABORTED
 */
export async function* plan(
  source: Pick<Source, 'size' | 'map'>,
  { itemSize, keepZeros, onUnreadable, signal }: PlanSettings,
): AsyncGenerator<PlannedItem> {
  let at = 0;
  /** Ranges since the last item. */
  let unreadable = 0;
  while (at < source.size) {
    await yieldToEventLoop(signal);
    const guestOffset = roundDown(at, itemSize);
    const end = Math.min(guestOffset + itemSize, source.size);
    const segments: Segment[] = [];
    while (at < end) {
      const range = await source.map(at);
      if (range.kind === 'unreadable') {
        if (onUnreadable === undefined) throw range.error;
        onUnreadable({ guestOffset: at, length: range.length, error: range.error });
        unreadable += 1;
      }
      const length = Math.min(range.length, end - at);
      const segment = segmentOf(range, at - guestOffset, length);
      if (segment !== undefined) {
        segments.push(segment);
      } else if (segments.length === 0 && !keepZeros && unreadable < MOST_UNREADABLE) {
        // Nothing in this item so far: go straight to where the hole ends, perhaps items further on.
        at += range.length;
        break;
      }
      at += length;
    }
    if (segments.length === 0 && !keepZeros && unreadable < MOST_UNREADABLE) continue;
    unreadable = 0;
    yield { guestOffset, length: end - guestOffset, segments };
  }
}
