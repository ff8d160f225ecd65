/**
 * The feature bits of a version 3 header. Specification: incompatible_features, compatible_features,
 * autoclear_features.
 */
import type { Feature } from './feature-names.js';

/** The refcounts may be wrong; data and tables are not. */
export const INCOMPATIBLE_DIRTY = 1n << 0n;
/** Anything may be wrong. */
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
/** A program may write to an image only when it has cleared the other ones. */
export const KNOWN_AUTOCLEAR = AUTOCLEAR_BITMAPS | AUTOCLEAR_RAW_DATA_FILE;

/** All of them, in the order and by the names of the feature name table that QEMU writes. */
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

/** Every incompatible feature of the specification; an image with any other must be refused. */
export const KNOWN_INCOMPATIBLE =
  INCOMPATIBLE_DIRTY |
  INCOMPATIBLE_CORRUPT |
  INCOMPATIBLE_DATA_FILE |
  INCOMPATIBLE_COMPRESSION_TYPE |
  INCOMPATIBLE_EXTENDED_L2;
