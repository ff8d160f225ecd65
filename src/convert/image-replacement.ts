/**
 * Replaces the disk of an existing image. The references of the new state and of the snapshots are counted, their
 * refcounts are written, then the header. The old image stays valid until the header is written; from then on the new
 * one is.
 */
import { analyse, countWindows } from '../check/analysis.js';
import type { CheckedImage } from '../check/checked-image.js';
import type { ReferenceCounters } from '../check/reference-counters.js';
import { Qcow2cError, quoted } from '../errors.js';
import { hostOffset } from '../qcow2/addresses.js';
import type { FreeRange } from '../qcow2/free-range.js';
import { allocationUnit } from '../qcow2/image-body.js';
import {
  clearUnknownAutoclear,
  type ReplacedTablePlaces,
  replaceBitmaps,
  replaceTables,
} from '../qcow2/replaced-header.js';
import type { UncountedImage } from '../qcow2/replacement-writer.js';
import { TableStream } from '../qcow2/table-stream.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import { alignedMemory } from '../system/aligned-memory.js';
import { type ExistingImage, freeRangeFinder } from './existing-image.js';
import { BlockWriter, placeBlocks } from './replaced-refcounts.js';

export interface ReplacedImage {
  /** The length of the file in bytes: the end of the last cluster that is referenced. */
  readonly length: number;
  /** The ranges before that end that are not referenced. */
  readonly free: readonly FreeRange[];
}

/**
 * Clears unknown autoclear bits and syncs the header. That must come before any other write (specification:
 * autoclear_features).
 * @throws Qcow2cError ERR_IO
 */
export async function beginReplacement(guard: OverlapGuard, existing: ExistingImage): Promise<void> {
  const { image, reader } = existing;
  const unit = allocationUnit(image.geometry.clusterSize);
  const first = alignedMemory(unit).subarray(0, unit);
  await reader.read(0, first);
  if (!clearUnknownAutoclear(first, image.header)) return;
  await guard.writeHeader([first]);
  await guard.sync();
}

/**
 * Writes the refcounts and the header, each after a sync of the data it refers to, and syncs the header.
 * @param uncounted the new image, complete except for refcounts and header
 * @param beforeHeader called before the header is written
 * @throws Qcow2cError ERR_CORRUPT when a part that the image keeps is damaged; ERR_LIMIT when the refcount table would
 *   be larger than QEMU opens; ERR_IO, ERR_ABORTED. Until the header is written the old image is unchanged
 */
export async function replaceImage(
  guard: OverlapGuard,
  existing: ExistingImage,
  uncounted: UncountedImage,
  beforeHeader: () => void,
  signal: AbortSignal | undefined,
): Promise<ReplacedImage> {
  const { image, reader, windowClusters } = existing;
  const { header, geometry } = image;
  const { clusterSize } = geometry;
  const blocks = placeBlocks(existing, uncounted);
  const tables = new TableStream(guard);
  const tableOffset = hostOffset(blocks.tableOffset);
  await tables.write(tableOffset, [blocks.table]);
  const places: ReplacedTablePlaces = {
    l1Offset: uncounted.l1Offset,
    refcountTableOffset: tableOffset,
    refcountTableClusters: blocks.table.length / clusterSize,
    bitmaps: uncounted.bitmaps,
  };
  const size = Math.max(image.file.size, blocks.end);
  const replaced: CheckedImage = {
    ...image,
    file: { name: image.file.name, size, read: padded(reader) },
    end: size,
    header: { ...header, ...places },
    extensions: { ...image.extensions, bitmaps: uncounted.bitmaps },
  };
  const writer = new BlockWriter(tables, replaced, blocks.places);
  const finder = freeRangeFinder(header, geometry, size);
  const settings = { signal, windowClusters };
  const write = async (counters: ReferenceCounters) => {
    finder.add(counters);
    await writer.write(counters);
  };
  await countWindows(replaced, write, settings);
  // Before the old image is given up, the new one is read back and checked.
  await analyse(replaced, {
    ...settings,
    onFinding: ({ kind }) => {
      if (kind !== 'snapshot-incomplete') throw damaged(image.file.name, kind);
    },
  });
  await guard.sync();

  const unit = allocationUnit(clusterSize);
  const first = alignedMemory(unit).subarray(0, unit);
  await reader.read(0, first);
  replaceTables(first, header, places);
  beforeHeader();
  await guard.writeHeader([first]);
  await guard.sync();
  if (uncounted.bitmaps !== undefined) {
    replaceBitmaps(first, header, uncounted.bitmaps);
    await guard.writeHeader([first]);
    await guard.sync();
  }
  return { length: finder.end, free: finder.ranges };
}

/** Reads zeros past the end of the file. */
function padded(reader: ExistingImage['reader']) {
  return async (offset: number, into: Uint8Array) => {
    into.fill(0, await reader.read(offset, into));
    return into.length;
  };
}

function damaged(file: string, found: string): Qcow2cError {
  return new Qcow2cError(
    'ERR_CORRUPT',
    `Cannot write into ${quoted(file)}: a part that it would keep is damaged; repair it with 'qcow2c check -r all', ` +
      'or convert without -n to replace it',
    { file, found },
  );
}
