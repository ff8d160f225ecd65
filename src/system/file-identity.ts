/** Which file or device something is, whatever its name. */
import type { BigIntStats } from 'node:fs';

/** @returns a word that is the same for every name of one file or device, and for no other */
export function fileIdentity(stats: BigIntStats): string {
  return stats.isBlockDevice() ? `device ${stats.rdev}` : `file ${stats.dev}:${stats.ino}`;
}
