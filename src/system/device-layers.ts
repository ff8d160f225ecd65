/**
 * The layers of a block device: a partition is part of a disk, a mapped device uses the devices below it, a loop device
 * uses a file. A write to one layer changes the others. Linux shows the layers under /sys/dev/block.
 */
import { type BigIntStats, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { deviceIdentity, fileIdentity } from './file-identity.js';

/**
 * @param stats of a file or device
 * @param sys the directory with the system's block devices
 * @returns the identities (`fileIdentity`) of the file or device and of all layers below it that the system shows
 */
export function layersOf(stats: BigIntStats, sys = '/sys/dev/block'): Set<string> {
  const layers = new Set([fileIdentity(stats)]);
  if (stats.isBlockDevice()) addBelow(deviceNumber(stats.rdev), sys, layers);
  return layers;
}

/** @param number of the device, as "major:minor" */
function addBelow(number: string, sys: string, layers: Set<string>): void {
  const device = join(sys, number);
  const file = textOf(join(device, 'loop', 'backing_file'));
  const backing = file === undefined ? undefined : identityAt(file);
  if (backing !== undefined) layers.add(backing);
  for (const below of [...disksOf(device), ...slavesOf(device)]) {
    const identity = deviceIdentity(rdevOf(below));
    if (layers.has(identity)) continue;
    layers.add(identity);
    addBelow(below, sys, layers);
  }
}

/** @returns the disk of a partition: its directory is inside the disk's */
function disksOf(device: string): string[] {
  if (textOf(join(device, 'partition')) === undefined) return [];
  try {
    const disk = textOf(join(dirname(realpathSync(device)), 'dev'));
    return disk === undefined ? [] : [disk];
  } catch {
    return [];
  }
}

/** @returns the devices below a mapped device (LVM, encryption, RAID) */
function slavesOf(device: string): string[] {
  try {
    const names = readdirSync(join(device, 'slaves'));
    return names.flatMap((name) => textOf(join(device, 'slaves', basename(name), 'dev')) ?? []);
  } catch {
    return [];
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').replace(/\n$/, '');
  } catch {
    return undefined;
  }
}

function identityAt(path: string): string | undefined {
  try {
    return fileIdentity(statSync(path, { bigint: true }));
  } catch {
    // Deleted, or in another mount namespace.
    return undefined;
  }
}

/**
 * Decodes a device number of Linux. Its hexadecimal digits are MMMMMmmmmmmMMMmm: M of the major number, m of the minor
 * (makedev(3) in glibc).
 * @returns MAJOR:MINOR
 */
export function deviceNumber(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** The inverse of `deviceNumber`. */
function rdevOf(number: string): bigint {
  const [major = 0n, minor = 0n] = number.split(':').map(BigInt);
  return (
    ((major & 0xfffn) << 8n) |
    ((major & 0xfffff000n) << 32n) |
    (minor & 0xffn) |
    ((minor & 0xffffff00n) << 12n)
  );
}
