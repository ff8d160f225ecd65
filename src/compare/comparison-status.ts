/**
 * What is known of a disk's ranges without reading them, in the bits and with the bounds of QEMU's block layer
 * (bdrv_co_block_status and bdrv_co_common_block_status_above in block/io.c): the strict comparison holds the bits
 * of two disks against each other, and the ranges are the pieces in which disks are compared.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { type LayerStatus, type StatusOf, statusOf } from '../image/layer-status.js';
import type { OpenedLayer } from '../image/open-image.js';
import { hasExtendedL2 } from '../qcow2/features.js';
import { clusterSizeOf, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import type { Header } from '../qcow2/header.js';

/** Values of QEMU's include/block/block-common.h; two statuses are the same when all of these are. */
const DATA = 0x01;
const ZERO = 0x02;
const OFFSET_VALID = 0x04;
/** Decided by the image or a backing file, not for want of one. */
const ALLOCATED = 0x10;
/** Reaches to the end of the image. */
const EOF = 0x20;

/** QEMU keeps L2 tables whole as long as they fit in this; else in slices (read_cache_sizes in block/qcow2.c). */
const L2_CACHE_BYTES = 32 * 1024 * 1024;
const L2_SLICE_BYTES = 4096;
/** The longest range that a qcow2 image tells at once: an int in C, and no multiple of a sector. */
const LONGEST_RANGE = 2 ** 31 - 1;

const NOTHING: LayerStatus = {
  length: 0,
  data: false,
  zero: false,
  storedLength: undefined,
  place: undefined,
};

export interface BlockStatus {
  /** The bits above. */
  readonly bits: number;
  /** Bytes from the offset asked for, at least one. */
  readonly length: number;
}

/** Whether a range reads as zeros. */
export function readsAsZeros({ bits }: BlockStatus): boolean {
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
   * @throws Qcow2cError ERR_CORRUPT, ERR_IO: that cannot be known
   */
  async at(offset: number): Promise<BlockStatus> {
    const [top, ...below] = this.#layers;
    let { bits, length } = await top.at(offset, top.size - offset);
    if ((bits & ALLOCATED) !== 0) return { bits, length };
    const end = (bits & EOF) === 0 ? undefined : offset + length;
    for (const layer of below) {
      // Zeros behind the end of a short backing file are as good as its own.
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

/** One image, with the last range that it told: it is asked again for each part of it. */
class BoundedLayer {
  readonly size: number;
  readonly #ask: StatusOf;
  readonly #backingSize: number | undefined;
  /** Bytes of the disk that QEMU looks at together; undefined: no tables are looked at, and there is no bound. */
  readonly #sliceReach: number | undefined;
  #start = 0;
  #end = 0;
  #known: LayerStatus = NOTHING;
  /** Whether something else begins at `#end`. */
  #isWhole = true;

  /** @param backingSize bytes of the layer below; undefined: there is none */
  constructor(opened: OpenedLayer, backingSize: number | undefined) {
    const { layer, qcow2 } = opened;
    this.size = layer.size;
    this.#ask = statusOf(opened, 'refused');
    this.#backingSize = backingSize;
    this.#sliceReach = qcow2 && sliceReach(qcow2.header, layer.size);
  }

  /** @param offset below the size @param most bytes that are asked for */
  async at(offset: number, most: number): Promise<BlockStatus> {
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

  /** Makes known what lies at `offset`, up to where something else begins or to `until` at least. */
  async #find(offset: number, until: number): Promise<void> {
    if (offset < this.#start || offset >= this.#end) {
      this.#known = await this.#ask(offset);
      this.#start = offset;
      this.#end = offset + this.#known.length;
      this.#isWhole = this.#sliceReach === undefined || this.#known.storedLength !== undefined;
    }
    // The tables are read here in other pieces than in QEMU.
    while (!this.#isWhole && this.#end < until) {
      // What cannot be known ends the range, and is told when its turn comes.
      const next = await this.#ask(this.#end).catch(() => undefined);
      this.#isWhole = next === undefined || !continues(this.#known, next, this.#end - this.#start);
      if (next !== undefined && !this.#isWhole) this.#end += next.length;
    }
  }
}

/** Whether what lies `length` bytes behind `first` is more of the same. */
function continues(first: LayerStatus, next: LayerStatus, length: number): boolean {
  return (
    next.storedLength === undefined &&
    next.data === first.data &&
    next.zero === first.zero &&
    next.place?.offset === (first.place && first.place.offset + length)
  );
}

/** Bytes of the disk that the entries tell of which QEMU looks at together. */
function sliceReach(header: Header, size: number): number {
  const clusterSize = clusterSizeOf(header);
  const entryBytes = hasExtendedL2(header) ? 2 * TABLE_ENTRY_BYTES : TABLE_ENTRY_BYTES;
  const allTables = roundUp(Math.ceil(size / clusterSize) * entryBytes, clusterSize);
  const slice = allTables > L2_CACHE_BYTES ? Math.min(clusterSize, L2_SLICE_BYTES) : clusterSize;
  return (slice / entryBytes) * clusterSize;
}
