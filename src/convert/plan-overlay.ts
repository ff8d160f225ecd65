/**
 * Plans the items of an image with a backing file: ranges that both disks hold at the same place of the same file are
 * left out; for the others the worker gets the segments of both disks and compares them.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import type { MappedRange, Source } from '../image/source.js';
import { type ItemPart, walkItems } from '../workers/item-walk.js';
import { type PlannedItem, type PlanSettings, segmentsOfDisk } from '../workers/plan.js';
import { type IdentityOf, isSameRange, openFileIdentities } from '../workers/range-identity.js';
import { cutSegments } from '../workers/segments.js';

/**
 * @param source the disk to read
 * @param backing the disk of the target's backing file; past its end are zeros
 * @param clusterSize of the target, in bytes
 * @param identityOf tests replace it
 * @returns the items in guest order, none for ranges that are the same by their maps
 * @throws ERR_ABORTED; what a map throws, or the error of an unreadable range; the backing file is not salvaged
 */
export async function* planOverlay(
  source: Source,
  backing: Source,
  clusterSize: number,
  { itemSize, onUnreadable, signal }: Pick<PlanSettings, 'itemSize' | 'onUnreadable' | 'signal'>,
  identityOf: IdentityOf = openFileIdentities(
    (fd) => source.fileOf(fd) ?? backing.fileOf(fd) ?? backing.name,
  ),
): AsyncGenerator<PlannedItem> {
  const isIdle = ([above, below]: readonly MappedRange[]) =>
    above !== undefined && below !== undefined && isSameRange(above, below, identityOf);
  const items = walkItems([source, backing], { size: source.size, itemSize, isIdle, onUnreadable, signal });
  for await (const { guestOffset, length, parts } of items) {
    const changed = changedClusters(parts, clusterSize);
    const [segments, below] = [0, 1].map((disk) => {
      const whole = segmentsOfDisk(parts, disk);
      return changed.flatMap(([from, to]) => cutSegments(whole, from * clusterSize, to * clusterSize));
    });
    yield { guestOffset, length, segments: segments ?? [], backing: below ?? [], changed };
  }
}

/** The clusters in which anything may differ, as pairs of indices from the item's start. */
function changedClusters(parts: readonly ItemPart[], clusterSize: number): [from: number, to: number][] {
  const changed: [from: number, to: number][] = [];
  for (const { at, length, isIdle } of parts) {
    if (isIdle) continue;
    const from = roundDown(at, clusterSize) / clusterSize;
    const to = roundUp(at + length, clusterSize) / clusterSize;
    const last = changed.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else changed.push([from, to]);
  }
  return changed;
}
