/**
 * The end of writing into an existing image: refcounts of everything that the new state and the snapshots refer to,
 * counted anew, then the header, and then the space of what only the old state referred to is given back. Until the
 * header is written the old image is whole; from then on the new one is.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { analyse, countWindows } from '../check/analysis.js';
import type { CheckedImage } from '../check/checked-image.js';
import type { ReferenceCounters } from '../check/reference-counters.js';
import { internalError, Qcow2cError, quoted } from '../errors.js';
import { type HostOffset, hostOffset } from '../qcow2/addresses.js';
import { writeU64 } from '../qcow2/be64.js';
import type { FreeRange } from '../qcow2/free-range.js';
import { MAX_REFCOUNT_TABLE_BYTES, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import { allocationUnit, type UncountedImage } from '../qcow2/image-writer.js';
import { setRefcount } from '../qcow2/refcount-block.js';
import {
  clearUnknownAutoclear,
  type ReplacedTablePlaces,
  replaceBitmaps,
  replaceTables,
} from '../qcow2/replaced-header.js';
import { TableStream } from '../qcow2/table-stream.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import { alignedMemory } from '../system/aligned-memory.js';
import { type ExistingImage, freeRangeFinder } from './existing-image.js';

/** Refcount blocks that are placed together, in bytes. */
const RUN_BYTES = 2 * 1024 * 1024;

export interface ReplacedImage {
  /** The file's length, in bytes: where the last cluster ends that is referred to. */
  readonly length: number;
  /** What nothing refers to before that. */
  readonly free: readonly FreeRange[];
}

/**
 * Clears autoclear bits that are not known, durably, which must come before any other write (specification:
 * autoclear_features). The old image stays as it is but for these.
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
 * Writes refcounts and header, each after a sync of what they rely on, and makes the header durable.
 * @param uncounted everything else is written
 * @param beforeHeader called before the header is written
 * @throws Qcow2cError ERR_CORRUPT when what the image keeps is damaged; ERR_LIMIT when the refcount table would be
 *   larger than QEMU opens; ERR_IO, ERR_ABORTED. Before the header is written the old image is as it was
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
  // The last look before the old image is given up: everything is read back and checked as in any image.
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

interface BlockPlaces {
  /** Where each refcount block goes, by index, in bytes. */
  readonly places: ReadonlyMap<number, HostOffset>;
  /** The refcount table, in whole clusters. */
  readonly table: Uint8Array;
  readonly tableOffset: number;
  /** The end of the farthest cluster that was handed out, in bytes. */
  readonly end: number;
}

/**
 * Takes room for a refcount block wherever clusters may be referred to: all that were handed out, the blocks and the
 * table themselves included, and all that the old image used.
 */
function placeBlocks({ image, free }: ExistingImage, uncounted: UncountedImage): BlockPlaces {
  const { clusterSize, refcountBlockEntries } = image.geometry;
  const reach = refcountBlockEntries * clusterSize;
  const places = new Map<number, HostOffset>();
  let end = 0;
  const wanted = new Set<number>(uncounted.blocksInUse());
  for (let from = 0, next = 0; from < usedEnd(free); ) {
    // Blocks that count for free space only are left out.
    const range = free[next];
    const to = range?.from ?? usedEnd(free);
    for (let index = Math.floor(from / reach); index * reach < to; index += 1) wanted.add(index);
    from = range?.to ?? to;
    next += 1;
  }
  const allocate = (clusters: number) => {
    const offset = uncounted.allocate(clusters);
    end = Math.max(end, offset + clusters * clusterSize);
    for (
      let index = Math.floor(offset / reach);
      index * reach < offset + clusters * clusterSize;
      index += 1
    ) {
      if (!places.has(index)) wanted.add(index);
    }
    return offset;
  };
  const placeWanted = () => {
    while (wanted.size > 0) {
      const batch = [...wanted].sort((a, b) => a - b).slice(0, Math.max(1, RUN_BYTES / clusterSize));
      for (const index of batch) wanted.delete(index);
      const offset = allocate(batch.length);
      for (const [at, index] of batch.entries()) places.set(index, hostOffset(offset + at * clusterSize));
      for (const index of batch) wanted.delete(index);
    }
  };
  placeWanted();
  for (;;) {
    const clusters = tableClusters();
    const tableOffset = allocate(clusters);
    placeWanted();
    // Where the last of these need a longer table, the room of the shorter one stays free.
    if (tableClusters() > clusters) continue;
    const table = new Uint8Array(clusters * clusterSize);
    for (const [index, offset] of places) writeU64(table, index * TABLE_ENTRY_BYTES, BigInt(offset));
    return { places, table, tableOffset, end };
  }

  function tableClusters(): number {
    let last = 0;
    for (const index of places.keys()) last = Math.max(last, index);
    const bytes = roundUp((last + 1) * TABLE_ENTRY_BYTES, clusterSize);
    if (bytes <= MAX_REFCOUNT_TABLE_BYTES) return bytes / clusterSize;
    throw new Qcow2cError('ERR_LIMIT', 'The image is too large for its refcount table; use larger clusters', {
      expected: MAX_REFCOUNT_TABLE_BYTES,
      found: bytes,
    });
  }
}

/** Where the old image's clusters end, in bytes. */
function usedEnd(free: readonly FreeRange[]): number {
  return free.at(-1)?.from ?? 0;
}

/** Writes the refcounts of one window after the other, block by block. */
class BlockWriter {
  readonly #tables: TableStream;
  readonly #image: CheckedImage;
  readonly #places: ReadonlyMap<number, HostOffset>;
  readonly #unit: number;
  /** Units that hold several blocks, by where they begin: what is filled, and how many blocks are to come. */
  readonly #open = new Map<number, { readonly bytes: Uint8Array; missing: number }>();
  readonly #inUnit = new Map<number, number>();

  constructor(tables: TableStream, image: CheckedImage, places: ReadonlyMap<number, HostOffset>) {
    this.#tables = tables;
    this.#image = image;
    this.#places = places;
    this.#unit = allocationUnit(image.geometry.clusterSize);
    if (this.#unit === image.geometry.clusterSize) return;
    for (const offset of places.values()) {
      const start = roundDown(offset, this.#unit);
      this.#inUnit.set(start, (this.#inUnit.get(start) ?? 0) + 1);
    }
  }

  /** A window holds whole blocks. */
  async write({ counts, first, end }: ReferenceCounters): Promise<void> {
    const { refcountBlockEntries: entries, refcountBits } = this.#image.geometry;
    for (let index = first / entries; index * entries < end; index += 1) {
      const offset = this.#places.get(index);
      const from = index * entries - first;
      const counted = counts.subarray(from, Math.min(from + entries, end - first));
      if (offset === undefined) {
        if (counted.some((count) => count !== 0)) throw internalError(`no place for refcount block ${index}`);
        continue;
      }
      await this.#writeBlock(offset, (block) => {
        for (const [at, count] of counted.entries()) {
          if (count !== 0) setRefcount(block, at, refcountBits, count);
        }
      });
    }
  }

  /** Writes a block, or as soon as they are complete all that share an aligned write. */
  async #writeBlock(offset: HostOffset, fill: (block: Uint8Array) => void): Promise<void> {
    const { clusterSize } = this.#image.geometry;
    const start = roundDown(offset, this.#unit);
    const unit = this.#open.get(start) ?? {
      bytes: new Uint8Array(this.#unit),
      missing: this.#inUnit.get(start) ?? 1,
    };
    fill(unit.bytes.subarray(offset - start, offset - start + clusterSize));
    unit.missing -= 1;
    if (unit.missing > 0) {
      this.#open.set(start, unit);
      return;
    }
    this.#open.delete(start);
    await this.#tables.write(hostOffset(start), [unit.bytes]);
  }
}

/** Reads behind the end of the file give zeros. */
function padded(reader: ExistingImage['reader']) {
  return async (offset: number, into: Uint8Array) => {
    into.fill(0, await reader.read(offset, into));
    return into.length;
  };
}

function damaged(file: string, found: string): Qcow2cError {
  return new Qcow2cError(
    'ERR_CORRUPT',
    `Cannot write into ${quoted(file)}: what it would keep is damaged; repair it with 'qcow2c check -r all', ` +
      'or convert without -n to replace it',
    { file, found },
  );
}
