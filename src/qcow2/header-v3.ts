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
import { clusterSizeOf, MAX_REFCOUNT_ORDER, MIN_EXTENDED_L2_CLUSTER_BITS } from './geometry.js';
import type { HeaderFields } from './header-fields.js';
import { HEADER_AT, V2_HEADER_BYTES, V3_HEADER_BYTES } from './header-layout.js';

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
  headerLength: V2_HEADER_BYTES,
  compressionType: 'zlib',
};

/** Fills bytes 72 to 111 of a header of zeros. */
export function encodeV3Fields(bytes: Uint8Array, header: Omit<V3Fields, 'headerLength'>): void {
  writeU64(bytes, HEADER_AT.incompatibleFeatures, header.incompatibleFeatures);
  writeU64(bytes, HEADER_AT.compatibleFeatures, header.compatibleFeatures);
  writeU64(bytes, HEADER_AT.autoclearFeatures, header.autoclearFeatures);
  writeU32(bytes, HEADER_AT.refcountOrder, header.refcountOrder);
  writeU32(bytes, HEADER_AT.headerLength, V3_HEADER_BYTES);
  bytes[HEADER_AT.compressionType] = COMPRESSION_TYPES.indexOf(header.compressionType);
}

/**
 * @param bytes the file's first bytes, including the known part of the extension list
 * @param fields reads the same bytes
 * @throws Qcow2cError as `decodeHeader`
 */
export function decodeV3Fields(bytes: Uint8Array, fields: HeaderFields, clusterBits: number): V3Fields {
  const { compressionType: typeAt, headerLength: lengthAt } = HEADER_AT;
  fields.need(typeAt);
  const headerLength = fields.u32('header_length', lengthAt, typeAt, clusterSizeOf({ clusterBits }));
  if (headerLength % 8 !== 0) {
    throw fields.corrupt('header_length', lengthAt, 'a multiple of 8', headerLength);
  }
  fields.need(Math.min(headerLength, V3_HEADER_BYTES));

  const incompatibleFeatures = readU64(bytes, HEADER_AT.incompatibleFeatures);
  const has = (feature: bigint) => (incompatibleFeatures & feature) !== 0n;
  if (has(~KNOWN_INCOMPATIBLE)) {
    throw unknownFeatures(fields.file, bytes.subarray(headerLength), incompatibleFeatures);
  }
  if (has(INCOMPATIBLE_EXTENDED_L2) && clusterBits < MIN_EXTENDED_L2_CLUSTER_BITS) {
    const expected = `at least ${MIN_EXTENDED_L2_CLUSTER_BITS} with extended L2 entries`;
    throw fields.corrupt('cluster_bits', HEADER_AT.clusterBits, expected, clusterBits);
  }
  const autoclearFeatures = readU64(bytes, HEADER_AT.autoclearFeatures);
  if ((autoclearFeatures & AUTOCLEAR_RAW_DATA_FILE) !== 0n && !has(INCOMPATIBLE_DATA_FILE)) {
    const expected = 'no raw external data bit without the external data file bit';
    throw fields.corrupt('autoclear_features', HEADER_AT.autoclearFeatures, expected, autoclearFeatures);
  }

  const typeNumber = headerLength > typeAt ? (bytes[typeAt] ?? 0) : 0;
  const compressionType = COMPRESSION_TYPES[typeNumber];
  if (compressionType === undefined) {
    throw fields.unsupported('compression_type', typeAt, '0 (zlib) or 1 (zstd)', typeNumber);
  }
  if (has(INCOMPATIBLE_COMPRESSION_TYPE) !== (compressionType !== 'zlib')) {
    const expected = `bit 3 ${compressionType === 'zlib' ? 'clear' : 'set'} with compression type ${typeNumber}`;
    throw fields.corrupt(
      'incompatible_features',
      HEADER_AT.incompatibleFeatures,
      expected,
      incompatibleFeatures,
    );
  }
  return {
    incompatibleFeatures,
    compatibleFeatures: readU64(bytes, HEADER_AT.compatibleFeatures),
    autoclearFeatures,
    refcountOrder: fields.u32('refcount_order', HEADER_AT.refcountOrder, 0, MAX_REFCOUNT_ORDER),
    headerLength,
    compressionType,
  };
}

function unknownFeatures(file: string, extensions: Uint8Array, incompatibleFeatures: bigint): Qcow2cError {
  const unknown = incompatibleFeatures & ~KNOWN_INCOMPATIBLE;
  const found = nameIncompatibleFeatures(extensions, unknown).map(quoted).join(', ');
  const message = `The qcow2 image ${quoted(file)} uses features that are not supported: ${found}`;
  return new Qcow2cError('ERR_UNSUPPORTED', message, {
    file,
    offset: HEADER_AT.incompatibleFeatures,
    found,
  });
}
