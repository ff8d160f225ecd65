/**
 * Plans the comparison of a source with its finished target: ranges that both hold at the same place of the same file
 * (the content of a backing file), and zeros in both, are left out; the others are read and compared.
 */
import type { MappedRange } from '../image/source.js';
import type { PlannedComparison } from '../workers/compare-items.js';
import { type MappedDisk, type WalkedPart, walkItems } from '../workers/item-walk.js';
import type { Stretch } from '../workers/messages/comparison.js';
import { ITEM_BYTES } from '../workers/plan.js';
import { type IdentityOf, isSameRange } from '../workers/range-identity.js';
import { type Segment, segmentOf } from '../workers/segments.js';

interface VerificationSettings {
  /** Bytes of the disks to compare; a disk that ends before shows zeros from there on. */
  readonly size: number;
  readonly identityOf: IdentityOf;
  /** Expect zeros where the source's map is unreadable. */
  readonly salvage: boolean;
  /** The part to compare; default: all. */
  readonly part?: WalkedPart | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * @returns the items in guest order
 * @throws what a map throws, or the error of an unreadable range, after the items before it; ERR_ABORTED
 */
export async function* planVerification(
  source: MappedDisk,
  target: MappedDisk,
  { size, identityOf, salvage, part, signal }: VerificationSettings,
): AsyncGenerator<PlannedComparison> {
  const isIdle = ([one, other]: readonly MappedRange[]) =>
    one !== undefined && other !== undefined && isSameRange(one, other, identityOf);
  const onUnreadable = salvage ? () => {} : undefined;
  const settings = { size, itemSize: ITEM_BYTES, isIdle, part, onUnreadable, signal };
  for await (const { guestOffset, length, parts } of walkItems([source, target], settings)) {
    const stretches: OpenStretch[] = [];
    for (const { at, length: bytes, ranges, isIdle: isSame } of parts) {
      if (isSame) continue;
      let open = stretches.at(-1);
      if (open === undefined || open.at + open.length < at) {
        open = { at, length: 0, segments: [[], []] };
        stretches.push(open);
      }
      append(open, ranges, bytes);
    }
    if (stretches.length > 0) yield { guestOffset, length, stretches };
  }
}

interface OpenStretch extends Stretch {
  length: number;
  readonly segments: readonly [Segment[], Segment[]];
}

/** Extends a stretch by the next ranges of both disks. */
function append(open: OpenStretch, ranges: readonly MappedRange[], length: number): void {
  for (const side of [0, 1] as const) {
    const range = ranges[side];
    const segment = range && segmentOf(range, open.length, length);
    if (segment === undefined) continue;
    const segments = open.segments[side];
    const last = segments.at(-1);
    const continues =
      last?.kind === 'data' &&
      segment.kind === 'data' &&
      last.at + last.length === segment.at &&
      last.descriptor === segment.descriptor &&
      last.offset + last.length === segment.offset;
    if (continues) segments.splice(-1, 1, { ...last, length: last.length + length });
    else segments.push(segment);
  }
  open.length += length;
}
