/**
 * Begins and ends the writing of a qcow2 image into an existing file or device: protects the old content and frees its
 * space.
 */
import type { HostOffset } from '../qcow2/addresses.js';
import { TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import type { FileRange, OverlapGuard } from '../storage/overlap-guard.js';
import { isInPlace, type Target } from '../storage/target.js';
import { alignedMemory } from '../system/aligned-memory.js';
import type { ExistingImage } from './existing-image.js';
import { beginReplacement } from './image-replacement.js';
import { UNFINISHED_MARK } from './target-content.js';

/** The part of an image that its target and its old content decide. */
export interface InPlaceParts {
  readonly target: Target;
  /** The existing image in the target; only its disk is replaced. undefined: a new image. */
  readonly existing: ExistingImage | undefined;
  /** Bytes at the start of the target that are unchanged until the header is written. */
  readonly keptBytes: number;
}

/**
 * Prepares the target before the first write. An existing image is protected. Other old content loses its header: on a
 * device, a half-written image is then not taken for a complete one; a file gets a mark by which the next conversion
 * knows that it may be overwritten.
 * @param unit of allocation, in bytes
 * @throws Qcow2cError ERR_IO
 */
export async function beginInPlace(
  { target: { kind }, existing, keptBytes }: InPlaceParts,
  guard: OverlapGuard,
  unit: number,
): Promise<void> {
  if (existing !== undefined) {
    guard.protect(usedRanges(existing, unit));
    await beginReplacement(guard, existing);
    return;
  }
  if (keptBytes > 0 || !isInPlace(kind)) return;
  const first = alignedMemory(unit).subarray(0, unit);
  if (kind === 'existing') first.set(UNFINISHED_MARK);
  await guard.writeHeader([first]);
}

/** The ranges between the free ranges of an existing image, after its header. */
function* usedRanges({ free }: ExistingImage, unit: number): Generator<FileRange> {
  let at = unit;
  for (const { from, to } of free) {
    if (from > at) yield { offset: at, length: from - at };
    at = to;
  }
}

/** The L1 table of an existing image, and a reader of its L2 tables. @throws Qcow2cError ERR_IO */
export async function tablesOf({ image: { header, geometry }, reader }: ExistingImage) {
  const read = async (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    await reader.read(offset, bytes);
    return bytes;
  };
  return {
    l1: await read(header.l1Offset, header.l1Entries * TABLE_ENTRY_BYTES),
    readL2: (offset: HostOffset) => read(offset, geometry.clusterSize),
  };
}

/**
 * Frees the space of an existing file that only its old content used.
 * @param free half-open ranges, in bytes
 * @throws Qcow2cError ERR_IO
 */
export async function freeOldSpace(
  { file }: Target,
  free: readonly { readonly from: number; readonly to: number }[],
): Promise<void> {
  for (const { from, to } of free) {
    // Where the file system cannot punch holes, the next conversion uses the space.
    if (to > from) await file.punch(from, to - from);
  }
}
