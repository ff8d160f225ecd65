/**
 * The table of one bitmap. Each entry describes a cluster of bits: all zeros, all ones, or stored at an offset.
 * Specification: "Bitmap table", "Bitmap data".
 */
import { internalError, quoted } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import type { HostOffset } from './addresses.js';
import { readU64, writeU64 } from './be64.js';
import { TABLE_ENTRY_BYTES } from './geometry.js';
import { TableReader } from './table-reader.js';

/** QEMU's bound on the bits of a bitmap (BME_MAX_PHYS_SIZE), in bytes, rounded to whole clusters. */
export const MAX_BITMAP_BYTES = 512 * 1024 * 1024;

/** Entry with bit 0 set and no offset: every bit of the cluster is set. */
const ALL_ONES = 1n;
/** Bits 9 to 55: the cluster's offset. */
const OFFSET_MASK = (1n << 56n) - (1n << 9n);

export type BitmapTableEntry =
  | { readonly kind: 'zeros' }
  | { readonly kind: 'ones' }
  | { readonly kind: 'data'; readonly offset: HostOffset };

/** A bitmap's name, and the offset in bytes and number of entries of its table. */
interface BitmapTablePlace {
  readonly name: string;
  readonly tableOffset: HostOffset;
  readonly tableEntries: number;
}

/**
 * Counts the bits of a bitmap: one for each granule of the disk. The last granule may be partial.
 * @param virtualSize bytes, a multiple of 512
 */
export function bitmapBits(virtualSize: number, granularityBits: number): number {
  return Math.ceil(virtualSize / 2 ** granularityBits);
}

/** Counts the entries of a bitmap's table: one for each cluster of bits. @param clusterSize bytes */
export function bitmapTableEntries(
  virtualSize: number,
  granularityBits: number,
  clusterSize: number,
): number {
  return Math.ceil(bitmapBits(virtualSize, granularityBits) / (8 * clusterSize));
}

/**
 * Encodes the table of a bitmap in a new image.
 *
 *     bits 56-63  0
 *     bits 9-55   bits 9-55 of the offset; 0 for zeros and ones
 *     bits 1-8    0
 *     bit 0       1 for ones
 *
 * @throws Qcow2cError ERR_INTERNAL for an invalid cluster offset
 */
export function encodeBitmapTable(entries: readonly BitmapTableEntry[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * TABLE_ENTRY_BYTES);
  for (const [index, entry] of entries.entries()) {
    writeU64(bytes, index * TABLE_ENTRY_BYTES, encodeEntry(entry));
  }
  return bytes;
}

function encodeEntry(entry: BitmapTableEntry): bigint {
  if (entry.kind === 'zeros') return 0n;
  if (entry.kind === 'ones') return ALL_ONES;
  const raw = BigInt(entry.offset);
  if (raw === 0n || (raw & ~OFFSET_MASK) !== 0n) throw internalError(`bits of a bitmap at offset ${raw}`);
  return raw;
}

/**
 * Decodes one entry.
 * @param reader of the table, for the error
 * @param at offset of the entry in the file, in bytes
 * @throws Qcow2cError ERR_CORRUPT when a reserved bit is set or the offset is not aligned to a cluster
 */
export function decodeBitmapTableEntry(
  raw: bigint,
  reader: TableReader,
  at: number,
  clusterSize: number,
): BitmapTableEntry {
  const onlyOnes = raw === ALL_ONES;
  if (!onlyOnes && (raw & ~OFFSET_MASK) !== 0n) {
    throw reader.corrupt('an entry', at, 'no reserved bit', `0x${raw.toString(16)}`);
  }
  if (raw === 0n) return { kind: 'zeros' };
  if (onlyOnes) return { kind: 'ones' };
  return { kind: 'data', offset: reader.tableOffset('an offset of bits', at, raw, clusterSize, clusterSize) };
}

/** Creates the reader for the table of a bitmap of the image in `file`. */
export function bitmapTableReader(
  file: Pick<Storage, 'name' | 'read'>,
  { name, tableOffset: offset, tableEntries }: BitmapTablePlace,
): TableReader {
  const length = tableEntries * TABLE_ENTRY_BYTES;
  return new TableReader(file, `table of bitmap ${quoted(name)}`, { offset, length });
}

/** @throws Qcow2cError ERR_CORRUPT as `decodeBitmapTableEntry`, and at the end of the file; ERR_IO */
export async function nextBitmapTableEntry(
  reader: TableReader,
  clusterSize: number,
): Promise<BitmapTableEntry> {
  const at = reader.offset;
  const raw = readU64(await reader.take(TABLE_ENTRY_BYTES), 0);
  return decodeBitmapTableEntry(raw, reader, at, clusterSize);
}
