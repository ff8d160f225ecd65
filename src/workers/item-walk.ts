/**
 * The walk behind the planners of conversions and verifications: goes through one map, or through two in parallel, and
 * cuts the disk into items on a fixed grid. Idle ranges need no work. If they fill whole items, they are skipped in one
 * stride.
 */
import { roundDown } from '../arithmetic.js';
import { sliceRange } from '../image/range-slice.js';
import type { MappedRange, Source } from '../image/source.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import { evenLength } from './range-identity.js';
import type { UnreadableRange } from './unreadable-range.js';

export type MappedDisk = Pick<Source, 'size' | 'map'>;

/** A part of an item in which no map changes its kind. In bytes. */
export interface ItemPart {
  /** From the item's start. */
  readonly at: number;
  readonly length: number;
  /** The range of each disk, from the start of the part on; it may be longer. None is unreadable. */
  readonly ranges: readonly MappedRange[];
  readonly isIdle: boolean;
}

interface WalkedItem {
  readonly guestOffset: number;
  /** The item size; less only at the end of the disk. */
  readonly length: number;
  /** Without gaps, from the item's start to its end. */
  readonly parts: readonly ItemPart[];
}

/** A part of a disk that consists of ranges. */
export interface WalkedPart {
  /** @returns the bytes from a guest offset on that are all inside, or all outside; may go past the end of the disk */
  at(offset: number): Promise<{ readonly length: number; readonly isInside: boolean }>;
}

interface WalkSettings {
  /** Bytes to walk. A disk that ends before reads as zeros from there on. */
  readonly size: number;
  /** The grid in bytes. */
  readonly itemSize: number;
  /** Whether ranges from `offset` on, in guest bytes, need no work. An item with only idle ranges is omitted. */
  isIdle(ranges: readonly MappedRange[], offset: number): boolean;
  /** The part of the disks to walk. Ranges outside are not looked up, are idle and count as zeros. Default: all. */
  readonly part?: WalkedPart | undefined;
  /** Called for unreadable ranges of the first disk, which then count as zeros. Default: they are errors. */
  readonly onUnreadable?: ((range: UnreadableRange) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Unreadable ranges after which an item is emitted even if it is idle. The caller keeps the ranges until the item is
 * done, so this bounds their number.
 */
export const MOST_UNREADABLE = 256;

/**
 * @param disks one, or two that are compared
 * @returns the items in guest order
 * @throws errors of the maps, or the error of an unreadable range; Qcow2cError ERR_ABORTED
 */
export async function* walkItems(
  disks: readonly MappedDisk[],
  { size, itemSize, isIdle, part, onUnreadable, signal }: WalkSettings,
): AsyncGenerator<WalkedItem> {
  let at = 0;
  /** Unreadable ranges since the last item. */
  let unreadable = 0;
  /** The idle ranges that were skipped up to `at`, from `strideStart` on. */
  let stride: readonly MappedRange[] = [];
  let strideStart = 0;
  while (at < size) {
    await yieldToEventLoop(signal);
    const guestOffset = roundDown(at, itemSize);
    const end = Math.min(guestOffset + itemSize, size);
    const parts: ItemPart[] = [];
    if (at > guestOffset) {
      const ranges = stride.map((range) => sliceRange(range, guestOffset - strideStart));
      parts.push({ at: 0, length: at - guestOffset, ranges, isIdle: true });
    }
    let isItem = false;
    while (at < end) {
      const { ranges, length: common, error, isInside } = await rangesAt(disks, at, size, part);
      if (error !== undefined) {
        if (onUnreadable === undefined) throw error;
        onUnreadable({ guestOffset: at, length: common, error });
        unreadable += 1;
      }
      const idle = !isInside || isIdle(ranges, at);
      isItem ||= !idle || unreadable >= MOST_UNREADABLE;
      if (!isItem && at + common >= end) {
        stride = ranges;
        strideStart = at;
        at += common;
        break;
      }
      const length = Math.min(common, end - at);
      parts.push({ at: at - guestOffset, length, ranges, isIdle: idle });
      at += length;
    }
    if (!isItem) continue;
    unreadable = 0;
    yield { guestOffset, length: end - guestOffset, parts };
  }
}

/**
 * @returns the disks' ranges at an offset, and the bytes that all of them cover and that are alike (`evenLength`);
 *   `error` if the first disk's range is unreadable
 */
async function rangesAt(disks: readonly MappedDisk[], at: number, size: number, part?: WalkedPart) {
  const ranges: MappedRange[] = [];
  let length = size - at;
  let error: UnreadableRange['error'] | undefined;
  const here = await part?.at(at);
  if (here !== undefined) length = Math.min(length, here.length);
  if (here?.isInside === false) {
    return { ranges: disks.map(() => ({ kind: 'zero', length }) as const), length, error, isInside: false };
  }
  for (const [index, disk] of disks.entries()) {
    const range: MappedRange = at < disk.size ? await disk.map(at) : { kind: 'zero', length: size - at };
    length = Math.min(length, range.length);
    if (range.kind !== 'unreadable') {
      ranges.push(range);
    } else if (index > 0) {
      throw range.error;
    } else {
      error = range.error;
      ranges.push({ kind: 'zero', length: range.length });
    }
  }
  const [one, other] = ranges;
  if (one !== undefined && other !== undefined) length = Math.min(length, evenLength(one, other));
  return { ranges, length, error, isInside: true };
}
