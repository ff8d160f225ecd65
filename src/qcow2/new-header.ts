/**
 * Encodes the header of a new image. Specification: "Header"; the bytes after the header are laid out as by
 * qcow2_update_header in QEMU.
 */
import type { CompressionType } from '../compression-type.js';
import { internalError, Qcow2cError } from '../errors.js';
import type { HostOffset } from './addresses.js';
import { writeU32, writeU64 } from './be64.js';
import { EXTENSION_TYPES, encodeExtension } from './extension-list.js';
import { encodeFeatureNames } from './feature-names.js';
import {
  AUTOCLEAR_BITMAPS,
  AUTOCLEAR_RAW_DATA_FILE,
  FEATURES,
  INCOMPATIBLE_COMPRESSION_TYPE,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_EXTENDED_L2,
} from './features.js';
import { HEADER_MAGIC } from './header.js';
import { type BitmapsExtension, encodeBitmapsExtension } from './header-extensions.js';
import { HEADER_AT, V2_HEADER_BYTES, V3_HEADER_BYTES } from './header-layout.js';
import { encodeV3Fields, V2_DEFAULTS } from './header-v3.js';

/** Up to this cluster size QEMU omits the feature name table, to leave room for a backing file's name. */
const MAX_CLUSTER_BITS_WITHOUT_FEATURE_NAMES = 12;

export interface NewBackingFile {
  /** As stored in the image: relative to the image's directory, 1 to 1023 bytes in UTF-8. */
  readonly file: string;
  readonly format: 'raw' | 'qcow2';
}

export interface NewDataFile {
  /** As stored in the image. QEMU resolves it in its working directory, not beside the image. */
  readonly name: string;
  /** Whether the data file can be read as a raw disk. */
  readonly raw: boolean;
}

/** The other files that the header names. */
export interface HeaderNames {
  readonly backing?: NewBackingFile | undefined;
  readonly dataFile?: NewDataFile | undefined;
}

/** The values that the writer of an image chooses; the other fields of the header follow. Sizes in bytes. */
export interface NewHeader extends HeaderNames {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  readonly virtualSize: number;
  readonly l1Entries: number;
  readonly l1Offset: HostOffset;
  readonly refcountTableOffset: HostOffset;
  readonly refcountTableClusters: number;
  readonly compatibleFeatures: bigint;
  readonly refcountOrder: number;
  readonly compressionType: CompressionType;
  readonly extendedL2: boolean;
  readonly bitmaps?: BitmapsExtension | undefined;
}

/**
 * Encodes the header, its extension list and the backing file's name, byte for byte as qemu-img does. The rest of the
 * first cluster is zeros.
 * @returns at most one cluster
 * @throws Qcow2cError ERR_LIMIT when the cluster is too small; ERR_INTERNAL for features that version 2 lacks
 */
export function encodeHeader(header: NewHeader): Uint8Array {
  const { version, clusterBits, backing } = header;
  if (version === 2 && !fitsVersion2(header))
    throw internalError('a version 3 feature in a version 2 header');
  const extensions = encodeExtensions(header);
  const name = Buffer.from(backing?.file ?? '');
  const nameOffset = headerLengthOf(version) + extensions.length;
  const bytes = new Uint8Array(nameOffset + name.length);
  if (bytes.length > 2 ** clusterBits) {
    throw new Qcow2cError('ERR_LIMIT', 'Could not update qcow2 header: No space left on device', {
      expected: 2 ** clusterBits,
      found: bytes.length,
    });
  }
  // Fields that stay 0: no encryption, no snapshots.
  writeU32(bytes, HEADER_AT.magic, HEADER_MAGIC);
  writeU32(bytes, HEADER_AT.version, version);
  if (name.length > 0) {
    writeU64(bytes, HEADER_AT.backingFileOffset, BigInt(nameOffset));
    writeU32(bytes, HEADER_AT.backingFileSize, name.length);
  }
  writeU32(bytes, HEADER_AT.clusterBits, clusterBits);
  writeU64(bytes, HEADER_AT.virtualSize, BigInt(header.virtualSize));
  writeU32(bytes, HEADER_AT.l1Entries, header.l1Entries);
  writeU64(bytes, HEADER_AT.l1Offset, BigInt(header.l1Offset));
  writeU64(bytes, HEADER_AT.refcountTableOffset, BigInt(header.refcountTableOffset));
  writeU32(bytes, HEADER_AT.refcountTableClusters, header.refcountTableClusters);
  if (version === 3) {
    const { compatibleFeatures, refcountOrder, compressionType } = header;
    const features = { ...featuresOf(header), compatibleFeatures };
    encodeV3Fields(bytes, { ...features, refcountOrder, compressionType });
  }
  bytes.set(extensions, headerLengthOf(version));
  bytes.set(name, nameOffset);
  return bytes;
}

/** Counts the bytes of such a header with its extensions and names, but without bitmaps. */
export function headerBytes(version: 2 | 3, clusterBits: number, names: HeaderNames): number {
  const extensions = encodeExtensions({ version, clusterBits, ...names });
  return headerLengthOf(version) + extensions.length + Buffer.byteLength(names.backing?.file ?? '');
}

const headerLengthOf = (version: 2 | 3) => (version === 3 ? V3_HEADER_BYTES : V2_HEADER_BYTES);

function encodeExtensions(
  header: Pick<NewHeader, 'version' | 'clusterBits' | 'bitmaps'> & HeaderNames,
): Uint8Array {
  const { version, clusterBits, backing, dataFile, bitmaps } = header;
  const list: Uint8Array[] = [];
  const add = (type: number, data: Uint8Array) => list.push(encodeExtension(type, data));
  if (backing !== undefined) add(EXTENSION_TYPES.backingFormat, Buffer.from(backing.format));
  if (dataFile !== undefined) add(EXTENSION_TYPES.dataFile, Buffer.from(dataFile.name));
  if (version === 3 && clusterBits > MAX_CLUSTER_BITS_WITHOUT_FEATURE_NAMES) {
    add(EXTENSION_TYPES.featureNames, encodeFeatureNames(FEATURES));
  }
  if (bitmaps !== undefined) add(EXTENSION_TYPES.bitmaps, encodeBitmapsExtension(bitmaps));
  add(EXTENSION_TYPES.end, new Uint8Array(0));
  return Buffer.concat(list);
}

function featuresOf({ compressionType, extendedL2, dataFile, bitmaps }: NewHeader) {
  const when = (condition: boolean, feature: bigint) => (condition ? feature : 0n);
  return {
    incompatibleFeatures:
      when(compressionType !== 'zlib', INCOMPATIBLE_COMPRESSION_TYPE) |
      when(extendedL2, INCOMPATIBLE_EXTENDED_L2) |
      when(dataFile !== undefined, INCOMPATIBLE_DATA_FILE),
    autoclearFeatures:
      when(bitmaps !== undefined, AUTOCLEAR_BITMAPS) | when(dataFile?.raw === true, AUTOCLEAR_RAW_DATA_FILE),
  };
}

function fitsVersion2(header: NewHeader): boolean {
  const { incompatibleFeatures, autoclearFeatures } = featuresOf(header);
  return (
    incompatibleFeatures === V2_DEFAULTS.incompatibleFeatures &&
    autoclearFeatures === V2_DEFAULTS.autoclearFeatures &&
    header.compatibleFeatures === V2_DEFAULTS.compatibleFeatures &&
    header.refcountOrder === V2_DEFAULTS.refcountOrder
  );
}
