/**
 * Determines the status of a disk's ranges from metadata, with the bits and bounds of QEMU's block layer
 * (bdrv_co_block_status and bdrv_co_common_block_status_above in block/io.c). The strict comparison compares these
 * bits; every comparison proceeds in these ranges.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { type LayerStatus, type StatusOf, statusOf } from '../image/layer-status.js';
import type { OpenedLayer } from '../image/open-image.js';
import { geometryOf } from '../qcow2/geometry.js';
import type { Header } from '../qcow2/header.js';

/** Values of QEMU's include/block/block-common.h; two statuses are equal if all of these are. */
const DATA = 0x01;
const ZERO = 0x02;
const OFFSET_VALID = 0x04;
/** Defined by the image or a backing file, not by a missing one. */
const ALLOCATED = 0x10;
/** Reaches to the end of the image. */
const EOF = 0x20;

/** QEMU caches whole L2 tables up to this size, and slices of larger ones (read_cache_sizes in block/qcow2.c). */
const L2_CACHE_BYTES = 32 * 1024 * 1024;
const L2_SLICE_BYTES = 4096;
/** The longest range of one query of a qcow2 image: an int in C, not a multiple of a sector. */
const LONGEST_RANGE = 2 ** 31 - 1;

const NOTHING: LayerStatus = {
  length: 0,
  data: false,
  zero: false,
  storedLength: undefined,
  place: undefined,
};

/** The status of a range of a disk or of one image. */
export interface DiskRangeStatus {
  /** The bits above. */
  readonly bits: number;
  /** Bytes from the queried offset, at least one. */
  readonly length: number;
}

/** Whether a range reads as zeros. */
export function readsAsZeros({ bits }: DiskRangeStatus): boolean {
  return (bits & ZERO) !== 0;
}

/** An image and its backing files. */
export class DiskStatus {
  readonly #layers: readonly [BoundedLayer, ...BoundedLayer[]];

  /** @param layers the topmost first */
  constructor([top, ...below]: readonly [OpenedLayer, ...OpenedLayer[]]) {
    const boundedBelow = below.map((opened, index) => new BoundedLayer(opened, below[index + 1]?.layer.size));
    this.#layers = [new BoundedLayer(top, below[0]?.layer.size), ...boundedBelow];
  }

  /**
   * @param offset guest bytes, below the size of the topmost layer
   * @throws Qcow2cError ERR_CORRUPT, ERR_IO if the status cannot be determined
   */
  async at(offset: number): Promise<DiskRangeStatus> {
    const [top, ...below] = this.#layers;
    let { bits, length } = await top.at(offset, top.size - offset);
    if ((bits & ALLOCATED) !== 0) return { bits, length };
    const end = (bits & EOF) === 0 ? undefined : offset + length;
    for (const layer of below) {
      // Zeros after the end of a short backing file count as its own.
      if (offset >= layer.size) {
        bits = ZERO | ALLOCATED;
        break;
      }
      ({ bits, length } = await layer.at(offset, length));
      if ((bits & ALLOCATED) !== 0) {
        bits &= ~EOF;
        break;
      }
    }
    return { bits: offset + length === end ? bits | EOF : bits, length };
  }
}

/** One image with its last range, which is queried again for each of its parts. */
class BoundedLayer {
  readonly size: number;
  readonly #ask: StatusOf;
  readonly #backingSize: number | undefined;
  /** Bytes of the disk that QEMU queries at once; undefined: without tables there is no bound. */
  readonly #sliceReach: number | undefined;
  #start = 0;
  #end = 0;
  #known: LayerStatus = NOTHING;
  /** Whether the status changes at `#end`. */
  #isWhole = true;

  /** @param backingSize bytes of the layer below; undefined: no backing file */
  constructor(opened: OpenedLayer, backingSize: number | undefined) {
    const { layer, qcow2 } = opened;
    this.size = layer.size;
    this.#ask = statusOf(opened, 'refused');
    this.#backingSize = backingSize;
    this.#sliceReach = qcow2 && sliceReach(qcow2.header, layer.size);
  }

  /** @param offset below the size @param most maximum length in bytes */
  async at(offset: number, most: number): Promise<DiskRangeStatus> {
    const reach = this.#sliceReach;
    const until =
      reach === undefined
        ? this.size
        : Math.min(this.size, offset + LONGEST_RANGE, roundDown(offset, reach) + reach);
    await this.#find(offset, until);
    const { data, zero, place } = this.#known;
    const length = Math.min(this.#end - offset, until - offset, most);
    let bits = (data ? DATA : 0) | (zero ? ZERO : 0) | (place === undefined ? 0 : OFFSET_VALID);
    if (data || zero) bits |= ALLOCATED;
    else if (this.#backingSize === undefined || offset >= this.#backingSize) bits |= ZERO;
    if (offset + length === this.size) bits |= EOF;
    return { bits, length };
  }

  /** Determines the range at `offset` up to its end, or at least to `until`. */
  async #find(offset: number, until: number): Promise<void> {
    if (offset < this.#start || offset >= this.#end) {
      this.#known = await this.#ask(offset);
      this.#start = offset;
      this.#end = offset + this.#known.length;
      this.#isWhole = this.#sliceReach === undefined || this.#known.storedLength !== undefined;
    }
    // Tables are read here in other pieces than in QEMU.
    while (!this.#isWhole && this.#end < until) {
      // An unreadable part ends the range; its error is thrown when the comparison reaches it.
      const next = await this.#ask(this.#end).catch(() => undefined);
      this.#isWhole = next === undefined || !continues(this.#known, next, this.#end - this.#start);
      if (next !== undefined && !this.#isWhole) this.#end += next.length;
    }
  }
}

/** Whether the range at `first` continues `length` bytes after it. */
function continues(first: LayerStatus, next: LayerStatus, length: number): boolean {
  return (
    next.storedLength === undefined &&
    next.data === first.data &&
    next.zero === first.zero &&
    next.place?.offset === (first.place && first.place.offset + length)
  );
}

/** Bytes of the disk covered by the entries that QEMU reads at once. */
function sliceReach(header: Header, size: number): number {
  const { clusterSize, l2EntryBytes } = geometryOf(header);
  const allTables = roundUp(Math.ceil(size / clusterSize) * l2EntryBytes, clusterSize);
  const slice = allTables > L2_CACHE_BYTES ? Math.min(clusterSize, L2_SLICE_BYTES) : clusterSize;
  return (slice / l2EntryBytes) * clusterSize;
}
