/** Plans the items of a disk: guest ranges on a fixed grid, with the segments to read. Holes need no work. */
import type { MappedRange } from '../image/source.js';
import { type ItemPart, type MappedDisk, walkItems } from './item-walk.js';
import { type Segment, segmentOf } from './segments.js';
import type { UnreadableRange } from './unreadable-range.js';

/** An item of work at its place on the virtual disk. In bytes. */
export interface PlannedItem {
  readonly guestOffset: number;
  /** At most the item size; less only at the end of the disk. */
  readonly length: number;
  readonly segments: readonly Segment[];
  /** Over a backing file only: its segments, and the clusters that may differ (see CompressionItem). */
  readonly backing?: readonly Segment[] | undefined;
  readonly changed?: readonly (readonly [from: number, to: number])[];
}

export interface PlanSettings {
  /** The grid in bytes. */
  readonly itemSize: number;
  /** Plan holes too. */
  readonly keepZeros: boolean;
  /** Called for unreadable ranges, which then count as zeros; undefined: they are errors. */
  readonly onUnreadable?: ((range: UnreadableRange) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Bytes of an item, a multiple of every cluster size. Smaller items cost more to hand over (1 MiB: 3 % more CPU time);
 * larger ones cost memory.
 */
export const ITEM_BYTES = 2 * 1024 * 1024;

/**
 * @param source the disk to read
 * @returns the items in guest order
 * @throws what the source's map throws, or the error of an unreadable range; ERR_ABORTED
 */
export async function* plan(
  source: MappedDisk,
  { itemSize, keepZeros, onUnreadable, signal }: PlanSettings,
): AsyncGenerator<PlannedItem> {
  const isIdle = ([range]: readonly MappedRange[]) => !keepZeros && range?.kind === 'zero';
  const items = walkItems([source], { size: source.size, itemSize, isIdle, onUnreadable, signal });
  for await (const { guestOffset, length, parts } of items) {
    yield { guestOffset, length, segments: segmentsOfDisk(parts, 0) };
  }
}

/** The segments of one disk in the parts of an item. */
export function segmentsOfDisk(parts: readonly ItemPart[], disk: number): Segment[] {
  return parts.flatMap(({ at, length, ranges }) => {
    const range = ranges[disk];
    return (range && segmentOf(range, at, length)) ?? [];
  });
}
