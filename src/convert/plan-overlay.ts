/**
 * Cuts a source into work items for an image with a backing file: what both hold at the same place of the
 * same file is left out, whatever its size; for the rest the worker gets what either holds, and compares.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { sliceRange } from '../image/range-slice.js';
import type { MappedRange, Source } from '../image/source.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import { MOST_UNREADABLE, type PlannedItem, type PlanSettings } from '../workers/plan.js';
import { type Segment, segmentOf } from '../workers/segments.js';
import type { UnreadableRange } from '../workers/unreadable-range.js';

/** A stretch of an item in which neither side changes its kind. In bytes. */
interface Stretch {
  readonly guest: number;
  readonly length: number;
  readonly source: MappedRange;
  readonly backing: MappedRange;
}

/**
 * @param source what is read
 * @param backing what the target's backing file shows; past its end it shows zeros
 * @param clusterSize of the target, in bytes
 * @returns the items in guest order, none for ranges that are the same by their map alone
 * @throws ERR_ABORTED; what either map throws, or says of what cannot be read; in the backing file nothing is salvaged
 */
export async function* planOverlay(
  source: Source,
  backing: Source,
  clusterSize: number,
  { itemSize, onUnreadable, signal }: Pick<PlanSettings, 'itemSize' | 'onUnreadable' | 'signal'>,
): AsyncGenerator<PlannedItem> {
  let at = 0;
  /** Ranges since the last item. */
  let unreadable = 0;
  const tell =
    onUnreadable &&
    ((stretch: UnreadableRange) => {
      onUnreadable(stretch);
      unreadable += 1;
    });
  while (at < source.size) {
    await yieldToEventLoop(signal);
    const guestOffset = roundDown(at, itemSize);
    const end = Math.min(guestOffset + itemSize, source.size);
    const stretches: Stretch[] = [];
    let differs = false;
    at = guestOffset;
    while (at < end) {
      const stretch = await stretchAt(source, backing, at, tell);
      const isSame = same(stretch.source, stretch.backing);
      if (isSame && !differs && unreadable < MOST_UNREADABLE && at + stretch.length >= end) {
        // Nothing in this item: go on where the two part, perhaps items further on.
        at += stretch.length;
        break;
      }
      differs ||= !isSame;
      stretches.push(stretch);
      at += stretch.length;
    }
    if (!differs && unreadable < MOST_UNREADABLE) continue;
    unreadable = 0;
    at = end;
    yield itemOf(stretches, guestOffset, end, clusterSize);
  }
}

async function stretchAt(
  source: Source,
  backing: Source,
  guest: number,
  onUnreadable: ((stretch: UnreadableRange) => void) | undefined,
): Promise<Stretch> {
  const left = source.size - guest;
  const range = await source.map(guest);
  const below: MappedRange = guest < backing.size ? await backing.map(guest) : { kind: 'zero', length: left };
  if (below.kind === 'unreadable') throw below.error;
  const length = Math.min(range.length, below.length, left);
  if (range.kind !== 'unreadable') return { guest, length, source: range, backing: below };
  if (onUnreadable === undefined) throw range.error;
  onUnreadable({ guestOffset: guest, length, error: range.error });
  return { guest, length, source: { kind: 'zero', length }, backing: below };
}

/** Whether two ranges show the same bytes without anybody reading them. */
function same(a: MappedRange, b: MappedRange): boolean {
  if (a.kind === 'zero') return b.kind === 'zero';
  if (a.kind === 'data') return b.kind === 'data' && a.descriptor === b.descriptor && a.offset === b.offset;
  if (a.kind !== 'compressed' || b.kind !== 'compressed') return false;
  return (
    a.skip === b.skip &&
    a.payload.descriptor === b.payload.descriptor &&
    a.payload.offset === b.payload.offset &&
    a.payload.storedLength === b.payload.storedLength
  );
}

/** The item with the clusters in which anything may differ, and the segments of these only. */
function itemOf(
  stretches: readonly Stretch[],
  guestOffset: number,
  end: number,
  clusterSize: number,
): PlannedItem {
  const changed: [from: number, to: number][] = [];
  for (const { guest, length, source, backing } of stretches) {
    if (same(source, backing)) continue;
    const from = roundDown(guest - guestOffset, clusterSize) / clusterSize;
    const to = roundUp(Math.min(guest + length, end) - guestOffset, clusterSize) / clusterSize;
    const last = changed.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else changed.push([from, to]);
  }
  const cut = (side: 'source' | 'backing'): Segment[] =>
    stretches.flatMap((stretch) =>
      changed.flatMap(([from, to]) => {
        const start = Math.max(stretch.guest, guestOffset + from * clusterSize);
        const stop = Math.min(stretch.guest + stretch.length, guestOffset + to * clusterSize, end);
        if (start >= stop) return [];
        const range = sliceRange(stretch[side], start - stretch.guest);
        return segmentOf(range, start - guestOffset, stop - start) ?? [];
      }),
    );
  return {
    guestOffset,
    length: end - guestOffset,
    segments: cut('source'),
    backing: cut('backing'),
    changed,
  };
}
