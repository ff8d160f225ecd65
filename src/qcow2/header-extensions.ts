/**
 * The header extensions that qcow2c reads and writes: names of other files, feature names, places of the bitmaps and of
 * the LUKS header.
 * Specification: "Header extensions"; bounds: qcow2_read_extensions in QEMU.
 */
import type { HostOffset } from './addresses.js';
import { readU32, writeU32, writeU64 } from './be64.js';
import { EXTENSION_PREFIX_BYTES, EXTENSION_TYPES, forEachExtension } from './extension-list.js';
import { AUTOCLEAR_BITMAPS, hasDataFile } from './features.js';
import { clusterSizeOf } from './geometry.js';
import { CRYPT_METHODS, type Header } from './header.js';
import { HeaderFields } from './header-fields.js';
import { HEADER_AT } from './header-layout.js';
import { decodeStoredName, type NameDecoder } from './stored-name.js';

/** QEMU's longest format name (the size of its field minus the NUL). */
const MAX_FORMAT_NAME_BYTES = 15;
/** The longest name that Linux opens (PATH_MAX minus the NUL). */
const MAX_DATA_FILE_NAME_BYTES = 4095;
const BITMAPS_BYTES = 24;
/** QEMU's bounds (QCOW2_MAX_BITMAPS, QCOW2_MAX_BITMAP_DIRECTORY_SIZE). */
const MAX_BITMAPS = 65535;
const MAX_BITMAP_DIRECTORY_BYTES = 1024 * MAX_BITMAPS;
/** Bytes of the smallest directory entry: 24 bytes, a name of one byte, padding to a multiple of 8. */
const MIN_BITMAP_ENTRY_BYTES = 32;

/** Bytes of the encryption extension. */
const LUKS_POINTER_BYTES = 16;
/** Bytes of a LUKS header before its keys (LUKS On-Disk Format Specification 1.2.3, "The partition header"). */
export const LUKS_HEADER_BYTES = 592;

/** The place of the bitmap directory. Specification: "Bitmaps extension". */
export interface BitmapsExtension {
  /** Number of bitmaps, 1 to 65535. */
  readonly count: number;
  /** Bytes, at least 32 for each bitmap, at most 64 MiB. */
  readonly directorySize: number;
  readonly directoryOffset: HostOffset;
}

/** The place of the LUKS header and its keys. Specification: "Full disk encryption header pointer". */
export interface LuksHeaderPlace {
  readonly offset: HostOffset;
  /** Bytes, at least LUKS_HEADER_BYTES. */
  readonly length: number;
}

export interface HeaderExtensions {
  /** As stored in the image; any image format. */
  readonly backingFormat?: string | undefined;
  /** The external data file's name. It may be missing even if the feature's bit is set. */
  readonly dataFile?: string | undefined;
  /** Present only while the bitmaps are consistent with the data (autoclear bit). */
  readonly bitmaps?: BitmapsExtension | undefined;
  /** Present only in an image encrypted with LUKS; it may be missing even there. */
  readonly luksHeader?: LuksHeaderPlace | undefined;
  /** Set if a program without bitmap support has written to the image since the bitmaps were saved. */
  readonly staleBitmaps?: true | undefined;
}

type NamePlaces = Pick<Header, 'clusterBits' | 'headerLength' | 'backingFileOffset' | 'backingFileSize'>;

/**
 * Counts the bytes at the start of the file that hold the header, its extensions and the backing file's name: at most
 * one cluster, 2 MiB.
 */
export function headerAreaBytes(header: NamePlaces): number {
  const { backingFileOffset, backingFileSize } = header;
  return backingFileOffset === 0 ? clusterSizeOf(header) : backingFileOffset + backingFileSize;
}

/**
 * Decodes the backing file's name. The name is not trusted: it may be any path or protocol.
 * @param bytes the file's first `headerAreaBytes` bytes; missing bytes count as zeros, as in QEMU
 * @returns undefined when the image has no backing file
 * @throws Qcow2cError ERR_UNSUPPORTED for a name that is not UTF-8, unless `decodeName` accepts it
 */
export function decodeBackingName(
  bytes: Uint8Array,
  { backingFileOffset: offset, backingFileSize: size }: NamePlaces,
  file: string,
  decodeName: NameDecoder = decodeStoredName,
): string | undefined {
  if (offset === 0) return undefined;
  return decodeName(bytes.subarray(offset, offset + size), "backing file's name", file, offset);
}

/**
 * Decodes and checks the extension list, from the header's end to the backing file's name or the end of the first
 * cluster. Unknown extensions are skipped.
 * @param bytes the file's first `headerAreaBytes` bytes; missing bytes count as zeros, as in QEMU
 * @throws Qcow2cError ERR_CORRUPT for an extension that does not end inside the list, or whose content is out of
 *   bounds, and for a pointer to a LUKS header in an image that is not encrypted with LUKS; ERR_UNSUPPORTED for a name
 *   that is not UTF-8, unless `decodeName` accepts it
 */
export function decodeExtensions(
  bytes: Uint8Array,
  header: NamePlaces & Pick<Header, 'incompatibleFeatures' | 'autoclearFeatures' | 'cryptMethod'>,
  file: string,
  decodeName: NameDecoder = decodeStoredName,
): HeaderExtensions {
  const { headerLength, backingFileOffset } = header;
  const clusterSize = clusterSizeOf(header);
  const end = backingFileOffset === 0 ? clusterSize : backingFileOffset;
  const area = new Uint8Array(Math.max(end, headerLength) + EXTENSION_PREFIX_BYTES);
  area.set(bytes.subarray(0, end));
  const fields = new HeaderFields(area, file);
  const text = (what: string, data: Uint8Array, at: number, most: number) => {
    if (data.length > most)
      throw fields.corrupt(`length of the ${what}`, at - 4, `at most ${most}`, data.length);
    return decodeName(data, what, file, at);
  };

  let found: HeaderExtensions = {};
  const broken = forEachExtension(area.subarray(headerLength, end), (type, data, inList) => {
    const at = headerLength + inList;
    if (type === EXTENSION_TYPES.backingFormat) {
      found = { ...found, backingFormat: text("backing file's format", data, at, MAX_FORMAT_NAME_BYTES) };
    } else if (type === EXTENSION_TYPES.dataFile && hasDataFile(header)) {
      found = { ...found, dataFile: text("external data file's name", data, at, MAX_DATA_FILE_NAME_BYTES) };
    } else if (type === EXTENSION_TYPES.bitmaps && (header.autoclearFeatures & AUTOCLEAR_BITMAPS) === 0n) {
      found = { ...found, staleBitmaps: true };
    } else if (type === EXTENSION_TYPES.bitmaps) {
      found = { ...found, bitmaps: decodeBitmapsExtension(fields, data, at, clusterSize) };
    } else if (type === EXTENSION_TYPES.encryption) {
      refusePointerWithoutLuks(fields, header, at);
      found = { ...found, luksHeader: decodeLuksPointer(fields, data, at, clusterSize) };
    }
  });
  if (broken !== undefined) {
    const at = headerLength + broken + 4;
    throw fields.corrupt('length of a header extension', at, `it to end by offset ${end}`, readU32(area, at));
  }
  return found;
}

/** @param at offset of the extension's data, in bytes */
function decodeBitmapsExtension(
  fields: HeaderFields,
  data: Uint8Array,
  at: number,
  clusterSize: number,
): BitmapsExtension {
  if (data.length !== BITMAPS_BYTES) {
    throw fields.corrupt('length of the bitmaps extension', at - 4, `${BITMAPS_BYTES}`, data.length);
  }
  const count = fields.u32('nb_bitmaps', at, 1, MAX_BITMAPS);
  const reserved = readU32(data, 4);
  if (reserved !== 0) throw fields.corrupt('reserved bits of the bitmaps extension', at + 4, '0', reserved);
  const directorySize = fields.u64('bitmap_directory_size', at + 8, MAX_BITMAP_DIRECTORY_BYTES);
  const smallest = count * MIN_BITMAP_ENTRY_BYTES;
  if (directorySize < smallest) {
    throw fields.corrupt('bitmap_directory_size', at + 8, `at least ${smallest}`, directorySize);
  }
  const directoryOffset = fields.tableOffset('bitmap_directory_offset', at + 16, directorySize, clusterSize);
  return { count, directorySize, directoryOffset };
}

/** Refuses a pointer to a LUKS header in an image that is not encrypted with LUKS, as QEMU does. */
function refusePointerWithoutLuks(
  fields: HeaderFields,
  { cryptMethod }: Pick<Header, 'cryptMethod'>,
  at: number,
): void {
  if (cryptMethod === CRYPT_METHODS.luks) return;
  const expected = `${CRYPT_METHODS.luks} (LUKS) with the encryption header pointer at offset ${at}`;
  throw fields.corrupt('crypt_method', HEADER_AT.cryptMethod, expected, cryptMethod);
}

/** @param at offset of the extension's data, in bytes */
function decodeLuksPointer(
  fields: HeaderFields,
  data: Uint8Array,
  at: number,
  clusterSize: number,
): LuksHeaderPlace {
  if (data.length !== LUKS_POINTER_BYTES) {
    const field = 'length of the encryption header pointer';
    throw fields.corrupt(field, at - 4, `${LUKS_POINTER_BYTES}`, data.length);
  }
  const length = fields.u64('length of the LUKS header', at + 8, Number.MAX_SAFE_INTEGER);
  if (length < LUKS_HEADER_BYTES) {
    throw fields.corrupt('length of the LUKS header', at + 8, `at least ${LUKS_HEADER_BYTES}`, length);
  }
  return { offset: fields.tableOffset('offset of the LUKS header', at, length, clusterSize), length };
}

/** Encodes the data of the bitmaps extension. */
export function encodeBitmapsExtension(bitmaps: BitmapsExtension): Uint8Array {
  const data = new Uint8Array(BITMAPS_BYTES);
  writeU32(data, 0, bitmaps.count);
  writeU64(data, 8, BigInt(bitmaps.directorySize));
  writeU64(data, 16, BigInt(bitmaps.directoryOffset));
  return data;
}
