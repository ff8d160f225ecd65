/**
 * The sizes that follow from an image's cluster size and refcount width, and the limits of both. Specification: "Host
 * cluster management", "Cluster mapping".
 */
import { hasExtendedL2 } from './features.js';

/** 512 bytes: the specification's smallest cluster ("cluster_bits must not be less than 9"). */
export const MIN_CLUSTER_BITS = 9;
/** 2 MiB: QEMU opens no larger clusters (specification, note at cluster_bits). */
export const MAX_CLUSTER_BITS = 21;
/** 32 MiB: QEMU opens no larger L1 table (specification, note at size; QCOW_MAX_L1_SIZE). */
export const MAX_L1_BYTES = 32 * 1024 * 1024;
/** 8 MiB: QEMU opens no larger refcount table (specification, note in "Host cluster management"). */
export const MAX_REFCOUNT_TABLE_BYTES = 8 * 1024 * 1024;
/** QEMU keeps offsets in signed 64-bit numbers, and reads no byte of the last GiB of these (BDRV_MAX_LENGTH). */
export const MAX_FILE_BYTES = 2n ** 63n - 2n ** 30n;
/** 64 bits: the specification's widest refcount ("may not exceed 6"). */
export const MAX_REFCOUNT_ORDER = 6;
/** Bytes of an entry of an L1 or refcount table. */
export const TABLE_ENTRY_BYTES = 8;
/** 16 KiB: a subcluster, 1/32 of a cluster, is no smaller than the smallest cluster. */
export const MIN_EXTENDED_L2_CLUSTER_BITS = 14;

/** @returns the cluster size in bytes of an image with this header */
export function clusterSizeOf({ clusterBits }: { readonly clusterBits: number }): number {
  return 2 ** clusterBits;
}

/** @returns the bytes of an L2 entry: 8, or 16 with a second number that describes subclusters */
export function l2EntryBytes({ extendedL2 }: { readonly extendedL2: boolean }): number {
  return extendedL2 ? 2 * TABLE_ENTRY_BYTES : TABLE_ENTRY_BYTES;
}

export interface Geometry {
  readonly clusterBits: number;
  /** Bytes. */
  readonly clusterSize: number;
  /** Whether L2 entries have a second number, which describes subclusters. */
  readonly extendedL2: boolean;
  /** Bytes of an L2 entry: 8, or 16 when extended. */
  readonly l2EntryBytes: number;
  /** Entries of an L2 table, which is one cluster. */
  readonly l2Entries: number;
  /** Width of a refcount in bits: 1, 2, 4, ... 64. */
  readonly refcountBits: number;
  /** log2 of `refcountBits`. */
  readonly refcountOrder: number;
  /** Refcounts in a refcount block, which is one cluster. */
  readonly refcountBlockEntries: number;
  /** The highest refcount of this width; for 64 bits the highest safe integer, which no file reaches. */
  readonly refcountMax: number;
}

/**
 * @param clusterBits log2 of the cluster size in bytes, MIN_CLUSTER_BITS to MAX_CLUSTER_BITS
 * @param refcountBits 1, 2, 4, 8, 16, 32 or 64
 * @param extendedL2 only with at least MIN_EXTENDED_L2_CLUSTER_BITS; callers have checked all three
 */
export function geometry(clusterBits: number, refcountBits: number, extendedL2 = false): Geometry {
  const clusterSize = clusterSizeOf({ clusterBits });
  const entryBytes = l2EntryBytes({ extendedL2 });
  return {
    clusterBits,
    clusterSize,
    extendedL2,
    l2EntryBytes: entryBytes,
    l2Entries: clusterSize / entryBytes,
    refcountBits,
    refcountOrder: Math.log2(refcountBits),
    refcountBlockEntries: (clusterSize * 8) / refcountBits,
    refcountMax: Math.min(2 ** refcountBits - 1, Number.MAX_SAFE_INTEGER),
  };
}

/**
 * The geometry of an existing image.
 * @param header decoded, so its fields are within the specification's limits
 */
export function geometryOf(
  header: Readonly<Record<'clusterBits' | 'refcountOrder', number>> & {
    readonly incompatibleFeatures: bigint;
  },
): Geometry {
  return geometry(header.clusterBits, 2 ** header.refcountOrder, hasExtendedL2(header));
}

/**
 * Counts the entries of an L1 table: one for each L2 table. The last table may be partly used.
 * @param virtualSize bytes; 0 needs no entry
 */
export function l1EntriesFor(geometry: Geometry, virtualSize: number): number {
  return Math.ceil(virtualSize / (geometry.clusterSize * geometry.l2Entries));
}
