/**
 * Plans the comparison of two disks in the steps of qemu-img (img_compare in qemu-img.c), which differ from those of
 * the common walk: a step ends where a disk changes its status, and after at most 2 MiB if data is read. Ranges stored
 * at the same offset of the same file, and ranges that are zeros in both, are skipped; the others become items.
 */
import { roundDown } from '../arithmetic.js';
import { Qcow2cError } from '../errors.js';
import type { Source } from '../image/source.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import type { PlannedComparison } from '../workers/compare-items.js';
import type { Side, Stretch } from '../workers/messages/comparison.js';
import { ITEM_BYTES } from '../workers/plan.js';
import { type IdentityOf, isSameRange } from '../workers/range-identity.js';
import { type Segment, segmentsOf } from '../workers/segments.js';
import { type DiskRangeStatus, readsAsZeros } from './comparison-status.js';
import type { Verdict } from './options.js';

/** One of the two. */
export interface Disk {
  readonly source: Source;
  /** @param offset guest bytes, below the size */
  statusAt(offset: number): Promise<DiskRangeStatus>;
}

/** A step of the plan, and the offset where it starts. */
type Step =
  | { readonly kind: 'skip'; readonly length: number }
  | {
      readonly kind: 'read';
      readonly length: number;
      readonly segments: readonly [readonly Segment[], readonly Segment[]];
    }
  | { readonly kind: 'decided'; readonly verdict: Verdict };

/**
 * @param strict whether ranges must be allocated in the same way
 * @returns items in guest order; at the end the verdict for the case that all of them are equal
 * @throws Qcow2cError ERR_ABORTED
 */
export async function* planComparison(
  disks: readonly [Disk, Disk],
  strict: boolean,
  identityOf: IdentityOf,
  signal?: AbortSignal | undefined,
): AsyncGenerator<PlannedComparison, Verdict> {
  const end = Math.max(disks[0].source.size, disks[1].source.size);
  let guestOffset = 0;
  let stretches: Stretch[] = [];
  let length = 0;
  for (let at = 0; at < end; ) {
    await yieldToEventLoop(signal);
    const step = await nextStep(disks, at, end, strict, identityOf);
    if (step.kind === 'decided') {
      if (stretches.length > 0) yield { guestOffset, length, stretches };
      return step.verdict;
    }
    if (step.kind === 'read') {
      if (stretches.length > 0 && at + step.length - guestOffset > ITEM_BYTES) {
        yield { guestOffset, length, stretches };
        stretches = [];
      }
      if (stretches.length === 0) guestOffset = at;
      stretches.push({ at: at - guestOffset, length: step.length, segments: step.segments });
      length = at + step.length - guestOffset;
    }
    at += step.length;
  }
  if (stretches.length > 0) yield { guestOffset, length, stretches };
  return { kind: 'identical' };
}

async function nextStep(
  disks: readonly [Disk, Disk],
  at: number,
  end: number,
  strict: boolean,
  identityOf: IdentityOf,
): Promise<Step> {
  const statuses: DiskRangeStatus[] = [];
  for (const side of [0, 1] as const) {
    const { source, statusAt } = disks[side];
    if (at >= source.size) continue;
    try {
      statuses.push(await statusAt(at));
    } catch (error) {
      return undecided('unknown-allocation', side, at, error);
    }
  }
  const [one, other] = statuses;
  if (strict && one?.bits !== other?.bits) {
    return { kind: 'decided', verdict: { kind: 'different-allocation', offset: at } };
  }
  const length = Math.min(end - at, ...statuses.map((status) => status.length));
  if (statuses.every(readsAsZeros)) {
    return { kind: 'skip', length: strict ? length : Math.max(length, await zeroLength(disks, at, end)) };
  }
  const most = Math.min(length, ITEM_BYTES);
  const same = await sameBytes(disks, at, length, identityOf);
  // Whole ranges, so that the next one begins at the same offset as in qemu-img.
  if (same >= most) return { kind: 'skip', length: same < length ? roundDown(same, ITEM_BYTES) : length };
  const segments: [Segment[], Segment[]] = [[], []];
  for (const side of [0, 1] as const) {
    try {
      segments[side] = await segmentsOf(disks[side].source, at, most);
    } catch (error) {
      return undecided('unreadable', side, at, error);
    }
  }
  return { kind: 'read', length: most, segments };
}

/**
 * @returns bytes from an offset on that both maps prove to be zeros; maps continue past the ends of QEMU's table
 *   slices
 */
async function zeroLength(disks: readonly [Disk, Disk], at: number, end: number): Promise<number> {
  let length = end - at;
  for (const { source } of disks) {
    if (at >= source.size) continue;
    const range = await source.map(at);
    if (range.kind !== 'zero') return 0;
    length = Math.min(length, range.length);
  }
  return length;
}

/**
 * @returns bytes from an offset on, up to `length`, that are stored at the same offsets of the same files. Compressed
 *   clusters do not count: a payload that QEMU cannot read is not identical to itself, because both guests would get an
 *   error.
 */
async function sameBytes(
  disks: readonly [Disk, Disk],
  from: number,
  length: number,
  identityOf: IdentityOf,
): Promise<number> {
  const [one, other] = disks;
  const end = Math.min(from + length, one.source.size, other.source.size);
  let at = from;
  while (at < end) {
    const [a, b] = [await one.source.map(at), await other.source.map(at)];
    if (a.kind === 'compressed' || !isSameRange(a, b, identityOf)) break;
    at += Math.min(a.length, b.length, end - at);
  }
  return at - from;
}

/** @throws errors other than a file's */
function undecided(
  kind: 'unknown-allocation' | 'unreadable',
  side: Side,
  offset: number,
  error: unknown,
): Step {
  if (!(error instanceof Qcow2cError) || error.code === 'ERR_INTERNAL') throw error;
  return { kind: 'decided', verdict: { kind, side, offset, error } };
}
