/**
 * Updates the header of an image whose active tables are replaced. Unknown fields and extensions stay unchanged.
 * Specification: "Header", "Header extensions"; the changes are those of qcow2_update_header in QEMU.
 */
import { Qcow2cError } from '../errors.js';
import type { HostOffset } from './addresses.js';
import { readU64, writeU32, writeU64 } from './be64.js';
import { EXTENSION_TYPES, encodeExtension, forEachExtension } from './extension-list.js';
import { AUTOCLEAR_BITMAPS, INCOMPATIBLE_DIRTY, KNOWN_AUTOCLEAR } from './features.js';
import { clusterSizeOf } from './geometry.js';
import type { Header } from './header.js';
import { type BitmapsExtension, encodeBitmapsExtension } from './header-extensions.js';
import { HEADER_AT } from './header-layout.js';

/** The tables for the new header. */
export interface ReplacedTablePlaces {
  readonly l1Offset: HostOffset;
  readonly refcountTableOffset: HostOffset;
  readonly refcountTableClusters: number;
  readonly bitmaps: BitmapsExtension | undefined;
}

/**
 * Makes the header point to other tables. Only its first 512 bytes change, so a disk writes the change completely or
 * not at all. The image is no longer dirty and has no bitmaps: a bitmaps extension becomes stale.
 * @param bytes at least the first cluster of the image, with its present header
 */
export function replaceTables(bytes: Uint8Array, { version }: Header, places: ReplacedTablePlaces): void {
  writeU64(bytes, HEADER_AT.l1Offset, BigInt(places.l1Offset));
  writeU64(bytes, HEADER_AT.refcountTableOffset, BigInt(places.refcountTableOffset));
  writeU32(bytes, HEADER_AT.refcountTableClusters, places.refcountTableClusters);
  if (version === 2) return;
  const at = HEADER_AT.incompatibleFeatures;
  writeU64(bytes, at, readU64(bytes, at) & ~INCOMPATIBLE_DIRTY);
  // A writer must clear autoclear bits that it does not know, and those whose promise it breaks.
  writeU64(bytes, HEADER_AT.autoclearFeatures, 0n);
}

/**
 * Clears unknown autoclear bits, as every writer of an image must (specification: autoclear_features).
 * @param bytes at least the first sector of the image, with its present header
 * @returns whether any was set
 */
export function clearUnknownAutoclear(bytes: Uint8Array, { version, autoclearFeatures }: Header): boolean {
  const known = autoclearFeatures & KNOWN_AUTOCLEAR;
  if (version === 2 || known === autoclearFeatures) return false;
  writeU64(bytes, HEADER_AT.autoclearFeatures, known);
  return true;
}

/**
 * Writes the bitmaps extension after the other extensions, removes the present one, and moves the backing file's name
 * after it.
 * @param bytes the first cluster, after `replaceTables`
 * @throws Qcow2cError ERR_LIMIT when the first cluster has no room for it
 */
export function replaceBitmaps(bytes: Uint8Array, header: Header, bitmaps: BitmapsExtension): void {
  const { headerLength, backingFileOffset, backingFileSize } = header;
  const clusterSize = clusterSizeOf(header);
  const listEnd = backingFileOffset === 0 ? clusterSize : backingFileOffset;
  const list: Uint8Array[] = [];
  forEachExtension(bytes.slice(headerLength, listEnd), (type, data) => {
    if (type !== EXTENSION_TYPES.bitmaps) list.push(encodeExtension(type, data));
  });
  list.push(encodeExtension(EXTENSION_TYPES.bitmaps, encodeBitmapsExtension(bitmaps)));
  list.push(encodeExtension(EXTENSION_TYPES.end, new Uint8Array(0)));
  const name = bytes.slice(backingFileOffset, backingFileOffset + backingFileSize);
  const extensions = Buffer.concat(list);
  const nameOffset = headerLength + extensions.length;
  const end = nameOffset + name.length;
  if (end > clusterSize) {
    throw new Qcow2cError('ERR_LIMIT', 'Could not update qcow2 header: No space left on device', {
      expected: clusterSize,
      found: end,
    });
  }
  bytes.fill(0, headerLength, clusterSize);
  bytes.set(extensions, headerLength);
  bytes.set(name, nameOffset);
  if (backingFileOffset !== 0) writeU64(bytes, HEADER_AT.backingFileOffset, BigInt(nameOffset));
  writeU64(bytes, HEADER_AT.autoclearFeatures, AUTOCLEAR_BITMAPS);
}
