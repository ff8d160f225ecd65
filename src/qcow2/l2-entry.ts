/**
 * An entry of an L2 table: how and where a guest cluster is stored. Specification: "Cluster mapping", L2 table entry,
 * Standard Cluster Descriptor, Compressed Clusters Descriptor.
 */
import { internalError, Qcow2cError } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import { type GuestOffset, type HostOffset, hostOffset } from './addresses.js';
import { narrow } from './be64.js';
import { COMPRESSED, COPIED, compressedOffsetBits, OFFSET_MASK, READS_AS_ZEROS } from './entry-bits.js';
import { ALL_SUBCLUSTERS, SUBCLUSTERS } from './subclusters.js';

export type L2Entry =
  | { readonly kind: 'unallocated' }
  /** Reads as zeros; `offset` is the host cluster allocated for it, if any. */
  | { readonly kind: 'zero'; readonly offset?: HostOffset }
  | { readonly kind: 'normal'; readonly offset: HostOffset; readonly copied: boolean }
  /** `storedLength`: bytes from `offset` to the end of the last sector counted, an upper bound for the payload. */
  | { readonly kind: 'compressed'; readonly offset: HostOffset; readonly storedLength: number };

/** A zero cluster without a host cluster, in an image without extended L2 entries. */
export const ZERO_CLUSTER = READS_AS_ZEROS;

/** The subclusters of a standard cluster, bit n for subcluster n: unsigned numbers of 32 bits. */
export interface Subclusters {
  /** Stored in the host cluster. */
  readonly data: number;
  /** Read as zeros. The others are unallocated and read from the backing file. */
  readonly zero: number;
}

export const ALL_DATA: Subclusters = { data: ALL_SUBCLUSTERS, zero: 0 };
export const ALL_ZEROS: Subclusters = { data: 0, zero: ALL_SUBCLUSTERS };

/**
 * Encodes an uncompressed cluster with one reference:
 *
 *     bit 63      1 (refcount is one)
 *     bit 62      0 (standard cluster)
 *     bits 56-61  0
 *     bits 9-55   bits 9-55 of the offset
 *     bits 1-8    0
 *     bit 0       0 (does not read as zeros)
 *
 * @param offset bytes, aligned to a cluster, not 0
 * @throws Qcow2cError ERR_INTERNAL for an invalid cluster offset
 */
export function encodeNormalCluster(offset: HostOffset): bigint {
  if (offset === 0 || offset % SECTOR_SIZE !== 0) {
    throw internalError(`a cluster cannot start at offset ${offset}`);
  }
  return COPIED | BigInt(offset);
}

/**
 * Encodes a cluster in the external data file, which always lies at its guest offset. Bit 63 is set there too: it
 * distinguishes offset 0 from an unallocated cluster.
 * @param offset bytes, aligned to a cluster
 */
export function encodeExternalCluster(offset: GuestOffset): bigint {
  return COPIED | BigInt(offset);
}

/**
 * Encodes the second number of an extended entry; for a compressed cluster it is 0.
 *
 *     bits 32-63  subcluster 0-31 reads as zeros
 *     bits 0-31   subcluster 0-31 is allocated
 *
 * @throws Qcow2cError ERR_INTERNAL for a subcluster that would be both
 */
export function encodeSubclusters({ data, zero }: Subclusters): bigint {
  if ((data & zero) !== 0) throw internalError(`subclusters ${data & zero} with data and zeros`);
  return (BigInt(zero) << BigInt(SUBCLUSTERS)) | BigInt(data);
}

/**
 * A compressed cluster, with x = 62 - (clusterBits - 8):
 *
 *     bit 63        0 (never set for a compressed cluster)
 *     bit 62        1 (compressed)
 *     bits x to 61  sectors of 512 bytes that the payload touches after the one it starts in
 *     bits 0 to x-1 offset, to the byte
 *
 * @param offset bytes, any
 * @param length of the payload in bytes, 1 to the cluster size
 * @throws Qcow2cError ERR_LIMIT when the offset needs more than x bits (2 MiB clusters: past 512 TiB)
 */
export function encodeCompressedCluster(offset: HostOffset, length: number, clusterBits: number): bigint {
  const offsetBits = compressedOffsetBits(clusterBits);
  if (offset >= 2 ** offsetBits) {
    throw new Qcow2cError(
      'ERR_LIMIT',
      `A compressed cluster would lie at offset ${offset}, expected below ${2 ** offsetBits} with clusters of ` +
        `${2 ** clusterBits} bytes; try a smaller cluster size`,
      { expected: `below ${2 ** offsetBits}`, found: offset },
    );
  }
  if (!(length >= 1 && length <= 2 ** clusterBits)) {
    throw internalError(`a compressed cluster of ${length} bytes at offset ${offset}`);
  }
  const moreSectors = Math.floor((offset + length - 1) / SECTOR_SIZE) - Math.floor(offset / SECTOR_SIZE);
  return COMPRESSED | (BigInt(moreSectors) << BigInt(offsetBits)) | BigInt(offset);
}

/**
 * Decodes an entry of an image without extended L2 entries. Reserved bits are ignored, as in QEMU. Offset 0 means
 * unallocated even with bit 63 set, except in an external data file.
 * @throws Qcow2cError ERR_CORRUPT when the offset is past 2^53 - 1
 */
export function decodeL2Entry(raw: bigint, clusterBits: number): L2Entry {
  if ((raw & COMPRESSED) !== 0n) {
    const offsetBits = BigInt(compressedOffsetBits(clusterBits));
    const offset = narrow(raw & ((1n << offsetBits) - 1n), 'The offset of a compressed cluster');
    const moreSectors = Number((raw & (COMPRESSED - 1n)) >> offsetBits);
    const storedLength = (1 + moreSectors) * SECTOR_SIZE - (offset % SECTOR_SIZE);
    return { kind: 'compressed', offset: hostOffset(offset), storedLength };
  }
  const offset = hostOffset(narrow(raw & OFFSET_MASK, 'The offset of a cluster'));
  if ((raw & READS_AS_ZEROS) !== 0n) return offset === 0 ? { kind: 'zero' } : { kind: 'zero', offset };
  if (offset === 0) return { kind: 'unallocated' };
  return { kind: 'normal', offset, copied: (raw & COPIED) !== 0n };
}
