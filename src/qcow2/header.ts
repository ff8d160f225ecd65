/**
 * Decodes the header of an existing image into checked values. All bytes of a file are untrusted until
 * `decodeHeader` has returned. Specification: "Header".
 */
import { Qcow2cError, quoted } from '../errors.js';
import { type HostOffset, hostOffset } from './addresses.js';
import { readU32, readU64, writeU32, writeU64 } from './be64.js';
import { hasExtendedL2 } from './features.js';
import {
  clusterSizeOf,
  type Geometry,
  geometry,
  MAX_CLUSTER_BITS,
  MAX_L1_BYTES,
  MAX_REFCOUNT_TABLE_BYTES,
  MIN_CLUSTER_BITS,
  TABLE_ENTRY_BYTES,
} from './geometry.js';
import { HeaderFields } from './header-fields.js';
import { HEADER_AT, V2_HEADER_BYTES } from './header-layout.js';
import { decodeV3Fields, V2_DEFAULTS, type V3Fields } from './header-v3.js';

/** "QFI" and 0xfb. */
export const HEADER_MAGIC = 0x514649fb;
/** QEMU's bound (QCOW_MAX_SNAPSHOTS). */
export const MAX_SNAPSHOTS = 65536;
/** Bytes of a snapshot table entry before extra data, identifier and name. */
export const SNAPSHOT_FIXED_BYTES = 40;
/** The specification's bound of backing_file_size. */
export const MAX_BACKING_NAME_BYTES = 1023;
/** Values of crypt_method. */
export const CRYPT_METHODS = { none: 0, aes: 1, luks: 2 } as const;

export interface Header extends V3Fields {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  /** Bytes, as stored in the file. QEMU rounds a size that is not a multiple of 512 down to whole sectors. */
  readonly virtualSize: number;
  readonly l1Entries: number;
  readonly l1Offset: HostOffset;
  readonly refcountTableOffset: HostOffset;
  readonly refcountTableClusters: number;
  /** Offset of the backing file's name in bytes, inside the first cluster; 0: no backing file. */
  readonly backingFileOffset: number;
  /** Bytes; 0 without a backing file. */
  readonly backingFileSize: number;
  /** One of CRYPT_METHODS. */
  readonly cryptMethod: number;
  readonly snapshotCount: number;
  readonly snapshotsOffset: HostOffset;
}

/** Whether `bytes` start with the magic of a qcow2 image of any version. */
export function isQcow2(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && readU32(bytes, HEADER_AT.magic) === HEADER_MAGIC;
}

/**
 * Decodes and checks a header, with the bounds of the specification and of QEMU (qcow2_do_open). Callers decide
 * whether they accept known features, encryption, snapshots and backing files.
 * @param bytes the file's first bytes: at least 112, or all of a shorter file; names of unknown features are
 *   searched in the bytes after the header
 * @param file the file's name, for messages
 * @throws Qcow2cError ERR_FORMAT when the magic is missing; ERR_UNSUPPORTED for unknown versions, incompatible
 *   features, compression types and encryption, and for disks past 2^53 - 1 bytes; ERR_CORRUPT for a field that is
 *   out of bounds or contradicts another
 */
export function decodeHeader(bytes: Uint8Array, file: string): Header {
  if (!isQcow2(bytes)) {
    throw new Qcow2cError('ERR_FORMAT', `${quoted(file)} is not a qcow2 image`, { file, offset: 0 });
  }
  const fields = new HeaderFields(bytes, file);
  fields.need(V2_HEADER_BYTES);
  const version = readU32(bytes, HEADER_AT.version);
  if (version !== 2 && version !== 3) {
    throw fields.unsupported('version', HEADER_AT.version, '2 or 3', version);
  }
  const clusterBits = fields.u32('cluster_bits', HEADER_AT.clusterBits, MIN_CLUSTER_BITS, MAX_CLUSTER_BITS);
  const clusterSize = clusterSizeOf({ clusterBits });
  const cryptMethod = readU32(bytes, HEADER_AT.cryptMethod);
  if (cryptMethod > CRYPT_METHODS.luks) {
    throw fields.unsupported('crypt_method', HEADER_AT.cryptMethod, '0 to 2', cryptMethod);
  }

  const v3Fields = version === 3 ? decodeV3Fields(bytes, fields, clusterBits) : V2_DEFAULTS;
  const refcountTableClusters = decodeRefcountTableClusters(fields, clusterSize, 1);
  const snapshotCount = fields.u32('nb_snapshots', HEADER_AT.snapshotCount, 0, MAX_SNAPSHOTS);
  const disk = decodeDisk(bytes, fields, geometry(clusterBits, 16, hasExtendedL2(v3Fields)));
  const table = (field: string, at: number, length: number) =>
    fields.tableOffset(field, at, length, clusterSize);
  return {
    version,
    clusterBits,
    ...disk,
    l1Offset: table('l1_table_offset', HEADER_AT.l1Offset, disk.l1Entries * TABLE_ENTRY_BYTES),
    refcountTableOffset: table(
      'refcount_table_offset',
      HEADER_AT.refcountTableOffset,
      refcountTableClusters * clusterSize,
    ),
    refcountTableClusters,
    ...v3Fields,
    ...decodeBackingFile(fields, clusterSize),
    cryptMethod,
    snapshotCount,
    snapshotsOffset: table(
      'snapshots_offset',
      HEADER_AT.snapshotsOffset,
      snapshotCount * SNAPSHOT_FIXED_BYTES,
    ),
  };
}

/**
 * Decodes a header as QEMU does for a check (qcow2_do_open with BDRV_O_CHECK), which accepts values that a repair can
 * replace: any number of snapshots, a refcount table that is empty or at offset 0, and a snapshot table at offset 0.
 * @param bytes as for `decodeHeader`
 * @throws Qcow2cError as `decodeHeader`, for these fields after all others
 */
export function decodeRepairableHeader(bytes: Uint8Array, file: string): Header {
  const valid = bytes.slice();
  if (valid.length >= V2_HEADER_BYTES) {
    writeU64(valid, HEADER_AT.refcountTableOffset, BigInt(2 ** MAX_CLUSTER_BITS));
    writeU32(valid, HEADER_AT.refcountTableClusters, 1);
    writeU32(valid, HEADER_AT.snapshotCount, 0);
    writeU64(valid, HEADER_AT.snapshotsOffset, 0n);
  }
  const header = decodeHeader(valid, file);
  const clusterSize = clusterSizeOf(header);
  const fields = new HeaderFields(bytes, file);
  const aligned = (field: string, at: number): HostOffset => {
    const offset = fields.u64(field, at, Number.MAX_SAFE_INTEGER - 2 ** 32);
    if (offset % clusterSize !== 0) throw fields.corrupt(field, at, `a multiple of ${clusterSize}`, offset);
    return hostOffset(offset);
  };
  return {
    ...header,
    refcountTableOffset: aligned('refcount_table_offset', HEADER_AT.refcountTableOffset),
    refcountTableClusters: decodeRefcountTableClusters(fields, clusterSize, 0),
    snapshotCount: fields.u32('nb_snapshots', HEADER_AT.snapshotCount, 0, 2 ** 32 - 1),
    snapshotsOffset: aligned('snapshots_offset', HEADER_AT.snapshotsOffset),
  };
}

/** Decodes the disk's size and the length of an L1 table that covers it. Further entries hold snapshots' VM state. */
function decodeDisk(
  bytes: Uint8Array,
  fields: HeaderFields,
  { clusterSize, l2Entries }: Geometry,
): Pick<Header, 'virtualSize' | 'l1Entries'> {
  const l2TableReach = clusterSize * l2Entries;
  const maxL1Entries = MAX_L1_BYTES / TABLE_ENTRY_BYTES;

  const at = HEADER_AT.virtualSize;
  const size = readU64(bytes, at);
  const largest = maxL1Entries * l2TableReach;
  if (size > largest) throw fields.corrupt('size', at, `at most ${largest}`, size);
  const virtualSize = Number(size);
  if (!Number.isSafeInteger(virtualSize)) {
    throw fields.unsupported('size', at, `at most ${Number.MAX_SAFE_INTEGER}`, size);
  }
  const needed = Math.ceil(virtualSize / l2TableReach);
  return { virtualSize, l1Entries: fields.u32('l1_size', HEADER_AT.l1Entries, needed, maxL1Entries) };
}

/**
 * Decodes the place of the backing file's name, which lies inside the first cluster. Without a name the field of its
 * length has no meaning.
 */
function decodeBackingFile(
  fields: HeaderFields,
  clusterSize: number,
): Pick<Header, 'backingFileOffset' | 'backingFileSize'> {
  const backingFileOffset = fields.u64('backing_file_offset', HEADER_AT.backingFileOffset, clusterSize);
  if (backingFileOffset === 0) return { backingFileOffset, backingFileSize: 0 };
  const room = Math.min(MAX_BACKING_NAME_BYTES, clusterSize - backingFileOffset);
  const backingFileSize = fields.u32('backing_file_size', HEADER_AT.backingFileSize, 0, room);
  return { backingFileOffset, backingFileSize };
}

function decodeRefcountTableClusters(fields: HeaderFields, clusterSize: number, lowest: 0 | 1): number {
  const highest = MAX_REFCOUNT_TABLE_BYTES / clusterSize;
  return fields.u32('refcount_table_clusters', HEADER_AT.refcountTableClusters, lowest, highest);
}
