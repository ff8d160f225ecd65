/** Where the fields of a header lie. Specification: "Header", "Additional fields". */

/** Offsets of the fields in bytes, by their names in `Header`. Version 2 ends before `incompatibleFeatures`. */
export const HEADER_AT = {
  magic: 0,
  version: 4,
  backingFileOffset: 8,
  backingFileSize: 16,
  clusterBits: 20,
  virtualSize: 24,
  cryptMethod: 32,
  l1Entries: 36,
  l1Offset: 40,
  refcountTableOffset: 48,
  refcountTableClusters: 56,
  snapshotCount: 60,
  snapshotsOffset: 64,
  incompatibleFeatures: 72,
  compatibleFeatures: 80,
  autoclearFeatures: 88,
  refcountOrder: 96,
  headerLength: 100,
  /** A header of version 3 may end before it. */
  compressionType: 104,
} as const;

export const V2_HEADER_BYTES = 72;
/** Bytes of a header with the compression type and its padding, as QEMU writes it. */
export const V3_HEADER_BYTES = 112;
