/** The refcount table and blocks that an image gets when its disk is replaced: their places, and their content. */
import { roundDown, roundUp } from '../arithmetic.js';
import type { CheckedImage } from '../check/checked-image.js';
import type { ReferenceCounters } from '../check/reference-counters.js';
import { internalError, Qcow2cError } from '../errors.js';
import { type HostOffset, hostOffset } from '../qcow2/addresses.js';
import { writeU64 } from '../qcow2/be64.js';
import type { FreeRange } from '../qcow2/free-range.js';
import { MAX_REFCOUNT_TABLE_BYTES, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import { allocationUnit } from '../qcow2/image-body.js';
import { setRefcount } from '../qcow2/refcount-block.js';
import type { UncountedImage } from '../qcow2/replacement-writer.js';
import type { TableStream } from '../qcow2/table-stream.js';
import type { ExistingImage } from './existing-image.js';

/** Bytes of refcount blocks that are allocated together. */
const RUN_BYTES = 2 * 1024 * 1024;

interface BlockPlaces {
  /** The offset of each refcount block, by index. */
  readonly places: ReadonlyMap<number, HostOffset>;
  /** The refcount table, in whole clusters. */
  readonly table: Uint8Array;
  readonly tableOffset: number;
  /** The end of the last cluster that was allocated, in bytes. */
  readonly end: number;
}

/**
 * Allocates a refcount block for every range in which clusters may be referenced: the clusters that were allocated,
 * with the blocks and the table themselves, and the clusters that the old image used.
 * @throws Qcow2cError ERR_LIMIT when the refcount table would be larger than QEMU opens
 */
export function placeBlocks({ image, free }: ExistingImage, uncounted: UncountedImage): BlockPlaces {
  const { clusterSize, refcountBlockEntries } = image.geometry;
  const reach = refcountBlockEntries * clusterSize;
  const places = new Map<number, HostOffset>();
  let end = 0;
  const wanted = new Set<number>(uncounted.blocksInUse());
  for (let from = 0, next = 0; from < usedEnd(free); ) {
    // Free ranges need no block.
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
    // If the last blocks need a longer table, the clusters of the shorter one stay free.
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

/** The end of the old image's clusters, in bytes. */
function usedEnd(free: readonly FreeRange[]): number {
  return free.at(-1)?.from ?? 0;
}

/** Writes refcount blocks, one window of counters after the other. */
export class BlockWriter {
  readonly #tables: TableStream;
  readonly #image: CheckedImage;
  readonly #places: ReadonlyMap<number, HostOffset>;
  readonly #unit: number;
  /** Units that hold several blocks, by offset: their bytes, and how many blocks are missing. */
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

  /** Writes the blocks of a window, which holds whole blocks. @throws Qcow2cError ERR_IO */
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

  /** Writes a block. Blocks that share an aligned unit are written together once the unit is complete. */
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
