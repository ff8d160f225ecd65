/**
 * Corrupted images: one or more of every kind that `qemu-img check` detects, and of kinds that it should
 * accept. Small, made in milliseconds, the same on every run. Used by the tests of check and of its repair.
 */
import { CORRUPT_BITMAPS } from './corrupt-bitmaps.js';
import type { CorruptImage } from './corrupt-image.js';
import { CORRUPT_L2_ENTRIES } from './corrupt-l2-entries.js';
import { CORRUPT_REFCOUNTS } from './corrupt-refcounts.js';
import { CORRUPT_SNAPSHOTS } from './corrupt-snapshots.js';
import { CORRUPT_TABLES } from './corrupt-tables.js';
import { CORRUPT_WHOLE } from './corrupt-whole.js';

export type { CorruptImage } from './corrupt-image.js';

export const CORRUPT_IMAGES: readonly CorruptImage[] = [
  ...CORRUPT_REFCOUNTS,
  ...CORRUPT_TABLES,
  ...CORRUPT_L2_ENTRIES,
  ...CORRUPT_SNAPSHOTS,
  ...CORRUPT_BITMAPS,
  ...CORRUPT_WHOLE,
];
