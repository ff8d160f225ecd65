/**
 * The part of the header that version 3 added: features, refcount width, compression type. Specification: "Header" from
 * byte 72, "Additional fields".
 */
import { COMPRESSION_TYPES, type CompressionType } from '../compression-type.js';
import { Qcow2cError, quoted } from '../errors.js';
import { readU64, writeU32, writeU64 } from './be64.js';
import { nameIncompatibleFeatures } from './feature-names.js';
import {
  AUTOCLEAR_RAW_DATA_FILE,
  INCOMPATIBLE_COMPRESSION_TYPE,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_EXTENDED_L2,
  KNOWN_INCOMPATIBLE,
} from './features.js';
import { MAX_REFCOUNT_ORDER, MIN_EXTENDED_L2_CLUSTER_BITS } from './geometry.js';
import type { HeaderFields } from './header-fields.js';

/** Offset of the compression type. A header may end before it. */
const COMPRESSION_TYPE_AT = 104;
/** Bytes of a header with the compression type and its padding, as QEMU writes it. */
export const V3_HEADER_BYTES = 112;

export interface V3Fields {
  readonly incompatibleFeatures: bigint;
  readonly compatibleFeatures: bigint;
  readonly autoclearFeatures: bigint;
  /** log2 of the width of a refcount in bits. */
  readonly refcountOrder: number;
  /** Bytes; the extension list starts there. */
  readonly headerLength: number;
  readonly compressionType: CompressionType;
}

/** Values for an image of version 2, whose header ends at byte 72. */
export const V2_DEFAULTS: V3Fields = {
  incompatibleFeatures: 0n,
  compatibleFeatures: 0n,
  autoclearFeatures: 0n,
  refcountOrder: 4,
  headerLength: 72,
  compressionType: 'zlib',
};

/** Fills bytes 72 to 111 of a header of zeros. */
export function encodeV3Fields(bytes: Uint8Array, header: Omit<V3Fields, 'headerLength'>): void {
  writeU64(bytes, 72, header.incompatibleFeatures);
  writeU64(bytes, 80, header.compatibleFeatures);
  writeU64(bytes, 88, header.autoclearFeatures);
  writeU32(bytes, 96, header.refcountOrder);
  writeU32(bytes, 100, V3_HEADER_BYTES);
  bytes[COMPRESSION_TYPE_AT] = COMPRESSION_TYPES.indexOf(header.compressionType);
}

/**
 * @param bytes the file's first bytes, including the known part of the extension list
 * @param fields reads the same bytes
 * @throws Qcow2cError as `decodeHeader`
 */
export function decodeV3Fields(bytes: Uint8Array, fields: HeaderFields, clusterBits: number): V3Fields {
  fields.need(COMPRESSION_TYPE_AT);
  const headerLength = fields.u32('header_length', 100, COMPRESSION_TYPE_AT, 2 ** clusterBits);
  if (headerLength % 8 !== 0) throw fields.corrupt('header_length', 100, 'a multiple of 8', headerLength);
  fields.need(Math.min(headerLength, V3_HEADER_BYTES));

  const incompatibleFeatures = readU64(bytes, 72);
  const has = (feature: bigint) => (incompatibleFeatures & feature) !== 0n;
  if (has(~KNOWN_INCOMPATIBLE)) {
    throw unknownFeatures(fields.file, bytes.subarray(headerLength), incompatibleFeatures);
  }
  if (has(INCOMPATIBLE_EXTENDED_L2) && clusterBits < MIN_EXTENDED_L2_CLUSTER_BITS) {
    const expected = `at least ${MIN_EXTENDED_L2_CLUSTER_BITS} with extended L2 entries`;
    throw fields.corrupt('cluster_bits', 20, expected, clusterBits);
  }
  const autoclearFeatures = readU64(bytes, 88);
  if ((autoclearFeatures & AUTOCLEAR_RAW_DATA_FILE) !== 0n && !has(INCOMPATIBLE_DATA_FILE)) {
    const expected = 'no raw external data bit without the external data file bit';
    throw fields.corrupt('autoclear_features', 88, expected, autoclearFeatures);
  }

  const typeNumber = headerLength > COMPRESSION_TYPE_AT ? (bytes[COMPRESSION_TYPE_AT] ?? 0) : 0;
  const compressionType = COMPRESSION_TYPES[typeNumber];
  if (compressionType === undefined) {
    throw fields.unsupported('compression_type', COMPRESSION_TYPE_AT, '0 (zlib) or 1 (zstd)', typeNumber);
  }
  if (has(INCOMPATIBLE_COMPRESSION_TYPE) !== (compressionType !== 'zlib')) {
    const expected = `bit 3 ${compressionType === 'zlib' ? 'clear' : 'set'} with compression type ${typeNumber}`;
    throw fields.corrupt('incompatible_features', 72, expected, incompatibleFeatures);
  }
  return {
    incompatibleFeatures,
    compatibleFeatures: readU64(bytes, 80),
    autoclearFeatures,
    refcountOrder: fields.u32('refcount_order', 96, 0, MAX_REFCOUNT_ORDER),
    headerLength,
    compressionType,
  };
}

function unknownFeatures(file: string, extensions: Uint8Array, incompatibleFeatures: bigint): Qcow2cError {
  const unknown = incompatibleFeatures & ~KNOWN_INCOMPATIBLE;
  const found = nameIncompatibleFeatures(extensions, unknown).map(quoted).join(', ');
  const message = `The qcow2 image ${quoted(file)} uses features that are not supported: ${found}`;
  return new Qcow2cError('ERR_UNSUPPORTED', message, { file, offset: 72, found });
}
