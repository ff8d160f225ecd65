/** The identity of a file or device, independent of its name. */
import type { BigIntStats } from 'node:fs';

/** @returns a string that is the same for every name of one file or device, and different for other files */
export function fileIdentity(stats: BigIntStats): string {
  return stats.isBlockDevice() ? `device ${stats.rdev}` : `file ${stats.dev}:${stats.ino}`;
}
