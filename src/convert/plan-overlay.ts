/**
 * Plans the items of an image with a backing file. Without a bitmap, ranges that both disks hold at the same place of
 * the same file are left out; for the others the worker gets the segments of both disks and compares them. With a
 * bitmap, clusters that it does not list are left out; the others are compared only on request.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import type { MappedRange, Source } from '../image/source.js';
import { type ItemPart, walkItems } from '../workers/item-walk.js';
import { type PlannedItem, type PlanSettings, segmentsOfDisk } from '../workers/plan.js';
import { type IdentityOf, isSameRange, openFileIdentities } from '../workers/range-identity.js';
import { cutSegments, type Segment } from '../workers/segments.js';
import type { ChangedClusters } from './changed-clusters.js';

interface OverlaySettings extends Pick<PlanSettings, 'itemSize' | 'onUnreadable' | 'signal'> {
  /** Of the target, in bytes. */
  readonly clusterSize: number;
  /** The clusters that a bitmap lists; undefined: all are compared. */
  readonly changed?: ChangedClusters | undefined;
  /** Compare the clusters that the bitmap lists, too. */
  readonly compareWithBacking?: boolean | undefined;
  /**
   * Without a bitmap: read ranges that are the same in both disks, too, for the digest of the source's. Default: false.
   */
  readonly readsAll?: boolean | undefined;
}

/**
 * @param source the disk to read
 * @param backing the disk of the target's backing file; past its end are zeros
 * @param identityOf tests replace it
 * @returns the items in guest order, none for ranges that are the same by their maps or by the bitmap
 * @throws ERR_ABORTED; what a map throws, or the error of an unreadable range; the backing file is not salvaged
 */
export async function* planOverlay(
  source: Source,
  backing: Source,
  { clusterSize, itemSize, changed, compareWithBacking = false, readsAll = false, ...rest }: OverlaySettings,
  identityOf: IdentityOf = openFileIdentities(
    (fd) => source.fileOf(fd) ?? backing.fileOf(fd) ?? backing.name,
  ),
): AsyncGenerator<PlannedItem> {
  const compares = changed === undefined || compareWithBacking;
  const isSame = ([above, below]: readonly MappedRange[], offset: number) => {
    if (above === undefined) return false;
    // Past the end of the backing file a hole needs no zero clusters.
    if (below === undefined) return above.kind === 'zero' && changed?.isNew(offset) === true;
    return isSameRange(above, below, identityOf);
  };
  const isIdle = (ranges: readonly MappedRange[], offset: number) =>
    isSame(ranges, offset) && !(readsAll && ranges[0]?.kind !== 'zero');
  const settings = { size: source.size, itemSize, isIdle, part: changed, ...rest };
  const disks = compares ? [source, backing] : [source];
  for await (const { guestOffset, length, parts } of walkItems(disks, settings)) {
    const isLeftOut = ({ at, ranges, isIdle: idle }: ItemPart) => idle || isSame(ranges, guestOffset + at);
    const clusters = changedClusters(parts, clusterSize, isLeftOut);
    const ofChanged = (whole: Segment[]) =>
      clusters.flatMap(([from, to]) => cutSegments(whole, from * clusterSize, to * clusterSize));
    const above = segmentsOfDisk(parts, 0);
    yield {
      ...{ guestOffset, length, changed: clusters },
      segments: readsAll ? above : ofChanged(above),
      backing: compares ? ofChanged(segmentsOfDisk(parts, 1)) : undefined,
    };
  }
}

/** The clusters in which anything may differ, as pairs of indices from the item's start. */
function changedClusters(
  parts: readonly ItemPart[],
  clusterSize: number,
  isLeftOut: (part: ItemPart) => boolean,
): [from: number, to: number][] {
  const changed: [from: number, to: number][] = [];
  for (const part of parts) {
    if (isLeftOut(part)) continue;
    const { at, length } = part;
    const from = roundDown(at, clusterSize) / clusterSize;
    const to = roundUp(at + length, clusterSize) / clusterSize;
    const last = changed.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else changed.push([from, to]);
  }
  return changed;
}
