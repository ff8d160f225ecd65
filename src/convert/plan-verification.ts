/**
 * Goes through a source and its finished target side by side: what both hold at the same place of the same file (a
 * backing file's content), and zeros on both sides, are left out; the rest becomes items to be read and compared.
 */
import { roundDown } from '../arithmetic.js';
import type { MappedRange, Source } from '../image/source.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import type { PlannedComparison } from '../workers/compare-items.js';
import type { Stretch } from '../workers/messages/comparison.js';
import { ITEM_BYTES } from '../workers/plan.js';
import { type IdentityOf, rangeIdentity } from '../workers/range-identity.js';
import { type Segment, segmentOf } from '../workers/segments.js';

type Disk = Pick<Source, 'size' | 'map'>;

export interface VerificationSettings {
  /** Of the target's disk as far as it counts, in bytes; what a disk has beyond its own end is zeros. */
  readonly size: number;
  readonly identityOf: IdentityOf;
  /** Whether what the source's map cannot tell is zeros in the target. */
  readonly salvage: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * @returns the items in guest order
 * @throws what either map throws, or says of what cannot be read, once the items before that are out; ERR_ABORTED
 */
export async function* planVerification(
  source: Disk,
  target: Disk,
  { size, identityOf, salvage, signal }: VerificationSettings,
): AsyncGenerator<PlannedComparison> {
  for (let at = 0; at < size; ) {
    await yieldToEventLoop(signal);
    const guestOffset = roundDown(at, ITEM_BYTES);
    const end = Math.min(guestOffset + ITEM_BYTES, size);
    const stretches: OpenStretch[] = [];
    while (at < end) {
      const one = await rangeAt(source, at, size, salvage);
      const other = await rangeAt(target, at, size, false);
      const common = Math.min(one.length, other.length);
      const place = rangeIdentity(one, identityOf);
      if (place !== undefined && place === rangeIdentity(other, identityOf)) {
        // Perhaps beyond this item's end: the next one begins there.
        at += common;
        continue;
      }
      const length = Math.min(common, end - at);
      let open = stretches.at(-1);
      if (open === undefined || guestOffset + open.at + open.length < at) {
        open = { at: at - guestOffset, length: 0, segments: [[], []] };
        stretches.push(open);
      }
      append(open, [one, other], length);
      at += length;
    }
    if (stretches.length > 0) yield { guestOffset, length: end - guestOffset, stretches };
  }
}

interface OpenStretch extends Stretch {
  length: number;
  readonly segments: readonly [Segment[], Segment[]];
}

async function rangeAt(disk: Disk, at: number, size: number, salvage: boolean): Promise<MappedRange> {
  if (at >= disk.size) return { kind: 'zero', length: size - at };
  const range = await disk.map(at);
  if (range.kind !== 'unreadable') return range;
  if (!salvage) throw range.error;
  return { kind: 'zero', length: range.length };
}

/** Makes a stretch longer by what both disks hold from its end on. */
function append(open: OpenStretch, ranges: readonly [MappedRange, MappedRange], length: number): void {
  for (const side of [0, 1] as const) {
    const segment = segmentOf(ranges[side], open.length, length);
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
