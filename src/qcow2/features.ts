/**
 * The feature bits of a version 3 header. Specification: incompatible_features, compatible_features,
 * autoclear_features.
 */
import type { Feature } from './feature-names.js';

/** The refcounts may be wrong; data and tables are valid. */
export const INCOMPATIBLE_DIRTY = 1n << 0n;
/** Any data or table may be wrong. */
export const INCOMPATIBLE_CORRUPT = 1n << 1n;
/** The guest's clusters are in another file. */
export const INCOMPATIBLE_DATA_FILE = 1n << 2n;
/** The compression type is not zlib. */
export const INCOMPATIBLE_COMPRESSION_TYPE = 1n << 3n;
/** L2 entries of 16 bytes, with subclusters. */
export const INCOMPATIBLE_EXTENDED_L2 = 1n << 4n;
export const COMPATIBLE_LAZY_REFCOUNTS = 1n << 0n;
/** The bitmaps extension is consistent with the data. */
export const AUTOCLEAR_BITMAPS = 1n << 0n;
/** The external data file is a raw image of the whole disk. */
export const AUTOCLEAR_RAW_DATA_FILE = 1n << 1n;
/** The autoclear bits known to qcow2c. A writer must clear all others. */
export const KNOWN_AUTOCLEAR = AUTOCLEAR_BITMAPS | AUTOCLEAR_RAW_DATA_FILE;

/** Whether the L2 entries of an image describe subclusters. */
export function hasExtendedL2({ incompatibleFeatures }: { readonly incompatibleFeatures: bigint }): boolean {
  return (incompatibleFeatures & INCOMPATIBLE_EXTENDED_L2) !== 0n;
}

/** Whether the guest's clusters are in an external data file. */
export function hasDataFile({ incompatibleFeatures }: { readonly incompatibleFeatures: bigint }): boolean {
  return (incompatibleFeatures & INCOMPATIBLE_DATA_FILE) !== 0n;
}

/** All features, in the order and with the names of QEMU's feature name table. */
export const FEATURES: readonly Feature[] = [
  { kind: 'incompatible', mask: INCOMPATIBLE_DIRTY, name: 'dirty bit' },
  { kind: 'incompatible', mask: INCOMPATIBLE_CORRUPT, name: 'corrupt bit' },
  { kind: 'incompatible', mask: INCOMPATIBLE_DATA_FILE, name: 'external data file' },
  { kind: 'incompatible', mask: INCOMPATIBLE_COMPRESSION_TYPE, name: 'compression type' },
  { kind: 'incompatible', mask: INCOMPATIBLE_EXTENDED_L2, name: 'extended L2 entries' },
  { kind: 'compatible', mask: COMPATIBLE_LAZY_REFCOUNTS, name: 'lazy refcounts' },
  { kind: 'autoclear', mask: AUTOCLEAR_BITMAPS, name: 'bitmaps' },
  { kind: 'autoclear', mask: AUTOCLEAR_RAW_DATA_FILE, name: 'raw external data' },
];

/** All incompatible features of the specification. A reader must refuse images with others. */
export const KNOWN_INCOMPATIBLE =
  INCOMPATIBLE_DIRTY |
  INCOMPATIBLE_CORRUPT |
  INCOMPATIBLE_DATA_FILE |
  INCOMPATIBLE_COMPRESSION_TYPE |
  INCOMPATIBLE_EXTENDED_L2;
