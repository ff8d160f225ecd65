/**
 * Reads the bits of one bitmap and divides them into clusters of another image. Memory holds one cluster of bits.
 * Specification: "Bitmap data".
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { Qcow2cError, quoted } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import type { Storage } from '../storage/storage.js';
import type { Bitmap } from './bitmap-directory.js';
import {
  type BitmapTableEntry,
  bitmapBits,
  bitmapTableEntries,
  bitmapTableReader,
  MAX_BITMAP_BYTES,
  nextBitmapTableEntry,
} from './bitmap-table.js';
import { clusterSizeOf, TABLE_ENTRY_BYTES } from './geometry.js';
import type { Header } from './header.js';
import type { TableBudget } from './table-budget.js';
import type { TableReader } from './table-reader.js';

/** A cluster of bits in the target: the kind of its table entry, and its bytes if it has any. */
export type BitmapCluster =
  | { readonly kind: 'zeros' }
  | { readonly kind: 'ones' }
  /** One cluster of the target; the bytes are valid until the next cluster is requested. */
  | { readonly kind: 'data'; readonly bytes: Uint8Array };

/**
 * Reads the bits in the order of the disk, from the lowest bit of the first byte on: one bit for each granule of the
 * target's disk. Bits past the end of the source's disk are 0, and so are the tail bits of the last cluster, as the
 * specification requires. Clusters that hold only zeros or only ones are reported as such; QEMU writes ones as data,
 * but reads both. A last cluster that the bits do not fill is never `ones`.
 * @param image the header of the image in `file`
 * @param bitmap from the directory of that image, not in use
 * @param target cluster size and disk size in bytes
 * @param budget shared by all bitmaps read from the image: their tables and clusters do not overlap
 * @throws Qcow2cError ERR_LIMIT when the target's disk is too large for the granularity; ERR_CORRUPT for a
 *   table that breaks the specification, and for bits past the end of the file; ERR_IO
 */
export async function* readBitmap(
  file: Pick<Storage, 'name' | 'read'>,
  image: Pick<Header, 'clusterBits' | 'virtualSize'>,
  bitmap: Bitmap,
  target: { readonly clusterSize: number; readonly virtualSize: number },
  budget?: TableBudget,
): AsyncGenerator<BitmapCluster> {
  const { granularityBits } = bitmap;
  const { clusterSize } = target;
  const targetBits = bitmapBits(target.virtualSize, granularityBits);
  const clusters = bitmapTableEntries(target.virtualSize, granularityBits, clusterSize);
  if (clusters * clusterSize > MAX_BITMAP_BYTES) throw tooLarge(bitmap, file.name);
  const diskSize = roundDown(image.virtualSize, SECTOR_SIZE);
  const bits = Math.min(bitmapBits(diskSize, granularityBits), targetBits);

  const source = new SourceBits(file, clusterSizeOf(image), bitmap, budget);
  const bytes = new Uint8Array(clusterSize);
  for (let index = 0; index < clusters; index += 1) {
    const start = index * clusterSize;
    const used = Math.max(0, Math.min(Math.ceil(bits / 8) - start, clusterSize));
    await source.read(start, bytes.subarray(0, used));
    clearFrom(bytes, bits - start * 8);
    if (isFilledWith(bytes, 0)) yield { kind: 'zeros' };
    else if (isFilledWith(bytes, 0xff)) yield { kind: 'ones' };
    else yield { kind: 'data', bytes };
  }
}

/** The bits of the source, read in ascending order, so that the table is read once. */
class SourceBits {
  readonly #file: Pick<Storage, 'name' | 'read'>;
  readonly #clusterSize: number;
  readonly #table: TableReader;
  readonly #budget: TableBudget | undefined;
  #entry: BitmapTableEntry = { kind: 'zeros' };

  /** @throws Qcow2cError ERR_CORRUPT past the budget */
  constructor(
    file: Pick<Storage, 'name' | 'read'>,
    clusterSize: number,
    bitmap: Bitmap,
    budget: TableBudget | undefined,
  ) {
    budget?.take(bitmap.tableOffset, roundUp(bitmap.tableEntries * TABLE_ENTRY_BYTES, clusterSize));
    this.#file = file;
    this.#clusterSize = clusterSize;
    this.#budget = budget;
    this.#table = bitmapTableReader(file, bitmap);
  }

  /** @param start byte of the bitmap, not before the end of the last call's bytes */
  async read(start: number, into: Uint8Array): Promise<void> {
    for (let filled = 0; filled < into.length; ) {
      const inCluster = (start + filled) % this.#clusterSize;
      if (inCluster === 0) {
        this.#entry = await nextBitmapTableEntry(this.#table, this.#clusterSize);
        if (this.#entry.kind === 'data') this.#budget?.take(this.#entry.offset, this.#clusterSize);
      }
      const part = into.subarray(filled, filled + this.#clusterSize - inCluster);
      if (this.#entry.kind === 'data') await this.#readBits(this.#entry.offset + inCluster, part);
      else part.fill(this.#entry.kind === 'ones' ? 0xff : 0);
      filled += part.length;
    }
  }

  async #readBits(offset: number, into: Uint8Array): Promise<void> {
    const found = await this.#file.read(offset, into);
    if (found === into.length) return;
    const { name: file } = this.#file;
    // QEMU reads zeros here. A backup that trusts these bits would lose changes silently.
    throw new Qcow2cError(
      'ERR_CORRUPT',
      `${quoted(file)} has bits of a bitmap past its end: ${into.length} bytes were expected at offset ${offset}`,
      { file, offset, expected: into.length, found },
    );
  }
}

/** @param count bits to keep, from the lowest of the first byte on; may be below 0 or above the number of bits */
function clearFrom(bytes: Uint8Array, count: number): void {
  const kept = Math.max(0, count);
  const whole = Math.floor(kept / 8);
  if (whole >= bytes.length) return;
  bytes[whole] = (bytes[whole] ?? 0) % 2 ** (kept % 8);
  bytes.fill(0, whole + 1);
}

/** Whether every byte is `value`: the first byte is, and each other byte equals the one before it. */
function isFilledWith(bytes: Uint8Array, value: number): boolean {
  return bytes[0] === value && Buffer.compare(bytes.subarray(1), bytes.subarray(0, -1)) === 0;
}

function tooLarge({ name, granularityBits }: Bitmap, file: string): Qcow2cError {
  return new Qcow2cError(
    'ERR_LIMIT',
    `The bitmap ${quoted(name)} of ${quoted(file)} would take more than ${MAX_BITMAP_BYTES} bytes with its ` +
      `granularity of ${2 ** granularityBits}; use a larger granularity`,
    { file, expected: MAX_BITMAP_BYTES },
  );
}
