/** The identity of a file or device, independent of its name. */
import type { BigIntStats } from 'node:fs';

/** @returns a string that is the same for every name of one file or device, and different for other files */
export function fileIdentity(stats: BigIntStats): string {
  return stats.isBlockDevice() ? deviceIdentity(stats.rdev) : `file ${stats.dev}:${stats.ino}`;
}

/** The identity of a block device. @param rdev its number, as in its `stat` */
export function deviceIdentity(rdev: bigint): string {
  return `device ${rdev}`;
}

/** Whether an identity is that of a file, not of a block device or an NBD export. */
export function isIdentityOfFile(identity: string): boolean {
  return identity.startsWith('file ');
}
