/**
 * The list of an image's bitmaps. Specification: "Bitmap directory". The bounds are those of QEMU's
 * block/qcow2-bitmap.c (BME_*).
 *
 *     an entry: bitmap_table_offset (8 bytes), bitmap_table_size (4), flags (4), type (1), granularity_bits (1),
 *               name_size (2), extra_data_size (4), extra data, name, padding to a multiple of 8
 */
import { roundDown } from '../arithmetic.js';
import { internalError, quoted } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import type { Storage } from '../storage/storage.js';
import type { HostOffset } from './addresses.js';
import { readU32, readU64, writeU32, writeU64 } from './be64.js';
import { bitmapTableEntries, MAX_BITMAP_BYTES } from './bitmap-table.js';
import { clusterSizeOf, TABLE_ENTRY_BYTES } from './geometry.js';
import type { Header } from './header.js';
import type { BitmapsExtension } from './header-extensions.js';
import { decodeStoredName, type NameDecoder } from './stored-name.js';
import { TableReader } from './table-reader.js';

/** Bytes of an entry before extra data and name. */
const FIXED_BYTES = 24;
const MIN_GRANULARITY_BITS = 9;
const MAX_GRANULARITY_BITS = 31;
const MAX_NAME_BYTES = 1023;
const DIRTY_TRACKING = 1;
/** Flags in_use and auto. */
const IN_USE = 1;
const AUTO = 2;
/** Flag extra_data_compatible: a reader that does not understand the extra data may use the bitmap. */
const EXTRA_DATA_COMPATIBLE = 4;
const KNOWN_FLAGS = IN_USE | AUTO | EXTRA_DATA_COMPATIBLE;

/** A bitmap of a new image. */
export interface NewBitmap {
  /** Unique in the image; 1 to 1023 bytes of UTF-8. */
  readonly name: string;
  /** log2 of the bytes of the disk for each bit: 9 to 31. */
  readonly granularityBits: number;
  /** Whether writes to the disk are recorded in it (QEMU: enabled). */
  readonly auto: boolean;
  readonly tableOffset: HostOffset;
  /** Entries of the bitmap table, at least 1. */
  readonly tableEntries: number;
  /** Default: false. */
  readonly inUse?: boolean | undefined;
}

export interface Bitmap extends NewBitmap {
  /**
   * The bitmap was not saved when the image was last used. Neither its bits nor its size can be trusted. qemu-img
   * calls it inconsistent and does not copy it.
   */
  readonly inUse: boolean;
}

/**
 * Reads the directory and checks it as QEMU does when it opens the image (bitmap_list_load). Unlike QEMU, it skips
 * extra data if the bitmap's flag allows this.
 * @param image the header of the image in `file`
 * @param extension the bitmaps extension; present only while the bitmaps are consistent with the disk
 * @returns the bitmaps in the order of the directory
 * @throws Qcow2cError ERR_CORRUPT for an entry that contradicts the specification or the disk's size; ERR_UNSUPPORTED
 *   for reserved flags and types, and for extra data that a reader must understand, as in QEMU; ERR_IO
 */
export async function readBitmapDirectory(
  file: Pick<Storage, 'name' | 'read'>,
  image: Pick<Header, 'clusterBits' | 'virtualSize'>,
  extension: BitmapsExtension,
  decodeName: NameDecoder = decodeStoredName,
): Promise<readonly Bitmap[]> {
  const { count, directorySize: length, directoryOffset: offset } = extension;
  const reader = new TableReader(file, 'bitmap directory', { offset, length });
  const bitmaps: Bitmap[] = [];
  const names = new Set<string>();
  while (bitmaps.length < count) {
    const at = reader.offset;
    const bitmap = await nextBitmap(reader, file.name, image, decodeName);
    if (names.has(bitmap.name)) throw reader.corrupt('the name', at, 'a name once', quoted(bitmap.name));
    names.add(bitmap.name);
    bitmaps.push(bitmap);
  }
  if (reader.offset !== offset + length) {
    throw reader.corrupt('a length of', offset, `${reader.offset - offset} for ${count} bitmaps`, length);
  }
  return bitmaps;
}

async function nextBitmap(
  reader: TableReader,
  file: string,
  image: Pick<Header, 'clusterBits' | 'virtualSize'>,
  decodeName: NameDecoder,
): Promise<Bitmap> {
  const at = reader.offset;
  const fixed = (await reader.take(FIXED_BYTES)).slice();
  const flags = readU32(fixed, 12);
  const [type = 0, granularityBits = 0] = fixed.subarray(16);
  const nameSize = readU32(fixed, 16) % 0x10000;
  const extraSize = readU32(fixed, 20);

  if (flags > KNOWN_FLAGS) throw reader.unsupported('flags', at + 12, `at most ${KNOWN_FLAGS}`, flags);
  if (type !== DIRTY_TRACKING) throw reader.unsupported('type', at + 16, `${DIRTY_TRACKING}`, type);
  if (granularityBits < MIN_GRANULARITY_BITS || granularityBits > MAX_GRANULARITY_BITS) {
    const expected = `${MIN_GRANULARITY_BITS} to ${MAX_GRANULARITY_BITS}`;
    throw reader.unsupported('granularity_bits', at + 17, expected, granularityBits);
  }
  if (nameSize > MAX_NAME_BYTES) {
    throw reader.unsupported('name_size', at + 18, `at most ${MAX_NAME_BYTES}`, nameSize);
  }
  if (extraSize > 0 && (flags & EXTRA_DATA_COMPATIBLE) === 0) {
    throw reader.unsupported(
      'extra_data_size',
      at + 20,
      '0 without the flag extra_data_compatible',
      extraSize,
    );
  }
  const inUse = (flags & IN_USE) !== 0;
  const table = decodeTable(reader, at, fixed, { ...image, granularityBits, inUse });

  reader.skip(extraSize);
  const nameAt = reader.offset;
  const name = decodeName(await reader.take(nameSize), 'name of a bitmap', file, nameAt);
  if (name === undefined) throw reader.corrupt('name_size', at + 18, 'a name', nameSize);
  const length = reader.offset - at;
  reader.skip(Math.ceil(length / 8) * 8 - length);
  return { name, granularityBits, auto: (flags & AUTO) !== 0, ...table, inUse };
}

/** Checks offset and size of the bitmap's table. The size must fit the disk, unless the bitmap is in use. */
function decodeTable(
  reader: TableReader,
  at: number,
  fixed: Uint8Array,
  bitmap: Pick<Header, 'clusterBits' | 'virtualSize'> & Pick<Bitmap, 'granularityBits' | 'inUse'>,
): Pick<Bitmap, 'tableOffset' | 'tableEntries'> {
  const { virtualSize, granularityBits } = bitmap;
  const clusterSize = clusterSizeOf(bitmap);
  const tableEntries = readU32(fixed, 8);
  const maxEntries = MAX_BITMAP_BYTES / clusterSize;
  if (tableEntries < 1 || tableEntries > maxEntries) {
    throw reader.corrupt('bitmap_table_size', at + 8, `1 to ${maxEntries}`, tableEntries);
  }
  const diskSize = roundDown(virtualSize, SECTOR_SIZE);
  const needed = bitmapTableEntries(diskSize, granularityBits, clusterSize);
  if (tableEntries !== needed && !bitmap.inUse) {
    throw reader.corrupt('bitmap_table_size', at + 8, `${needed} for the disk's size`, tableEntries);
  }
  const tableBytes = tableEntries * TABLE_ENTRY_BYTES;
  const tableOffset = reader.tableOffset(
    'bitmap_table_offset',
    at,
    readU64(fixed, 0),
    tableBytes,
    clusterSize,
  );
  return { tableOffset, tableEntries };
}

/**
 * Encodes the directory of a new image, in the order given.
 * @param bitmaps at most 65535, as in any image: the result takes at most 64 MiB
 * @returns the bytes to write at the start of a cluster; the bitmaps extension holds their length
 * @throws Qcow2cError ERR_INTERNAL for an invalid name or granularity
 */
export function encodeBitmapDirectory(bitmaps: readonly NewBitmap[]): Uint8Array {
  return Buffer.concat(bitmaps.map(encodeBitmap));
}

/**
 * Counts the most clusters that these bitmaps take in a new image: bits, tables and directory.
 * @param virtualSize bytes of the new image's disk
 * @param clusterSize bytes of its clusters
 */
export function clustersOfBitmaps(
  bitmaps: readonly Bitmap[],
  virtualSize: number,
  clusterSize: number,
): number {
  let clusters = 0;
  let directoryBytes = 0;
  for (const bitmap of bitmaps) {
    const own = bitmapTableEntries(virtualSize, bitmap.granularityBits, clusterSize);
    clusters += own + Math.ceil((own * TABLE_ENTRY_BYTES) / clusterSize);
    directoryBytes += encodeBitmapDirectory([bitmap]).length;
  }
  return clusters + Math.ceil(directoryBytes / clusterSize);
}

function encodeBitmap(bitmap: NewBitmap): Uint8Array {
  const { name, granularityBits, auto, tableOffset, tableEntries, inUse = false } = bitmap;
  const nameBytes = Buffer.from(name);
  const valid =
    nameBytes.length >= 1 &&
    nameBytes.length <= MAX_NAME_BYTES &&
    granularityBits >= MIN_GRANULARITY_BITS &&
    granularityBits <= MAX_GRANULARITY_BITS;
  if (!valid) throw internalError(`a bitmap ${quoted(name)} of granularity 2^${granularityBits}`);
  const bytes = new Uint8Array(Math.ceil((FIXED_BYTES + nameBytes.length) / 8) * 8);
  writeU64(bytes, 0, BigInt(tableOffset));
  writeU32(bytes, 8, tableEntries);
  writeU32(bytes, 12, (auto ? AUTO : 0) | (inUse ? IN_USE : 0));
  bytes[16] = DIRTY_TRACKING;
  bytes[17] = granularityBits;
  bytes[18] = Math.floor(nameBytes.length / 256);
  bytes[19] = nameBytes.length % 256;
  // 20-23: no extra data
  bytes.set(nameBytes, FIXED_BYTES);
  return bytes;
}
