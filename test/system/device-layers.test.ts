/** The files and devices that a block device consists of, in a tree like Linux's. */
import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { layersOf } from '../../src/system/device-layers.js';
import { fileIdentity } from '../../src/system/file-identity.js';
import { useScratch } from '../e2e/scratch.js';

const path = useScratch();

function shown(name: string, text: string): void {
  mkdirSync(dirname(path('sys', name)), { recursive: true });
  writeFileSync(path('sys', name), text);
}

/** A block device with this number, as stat(2) shows it. */
function device(major: bigint, minor: bigint) {
  const stats = statSync(path(''), { bigint: true });
  const rdev = (major << 8n) | (minor & 0xffn) | ((minor & ~0xffn) << 12n);
  return Object.assign(Object.create(stats) as typeof stats, { rdev, isBlockDevice: () => true });
}
const identityOf = (major: bigint, minor: bigint) => fileIdentity(device(major, minor));

beforeAll(() => {
  writeFileSync(path('disk.raw'), 'the file');
  // A loop device 7:3 on the file, its partition 259:700, and a mapped device 253:0 on that.
  shown('devices/loop3/dev', '7:3\n');
  shown('devices/loop3/loop/backing_file', `${path('disk.raw')}\n`);
  shown('devices/loop3/loop3p1/dev', '259:700\n');
  shown('devices/loop3/loop3p1/partition', '1\n');
  shown('devices/dm-0/dev', '253:0\n');
  shown('devices/dm-0/slaves/loop3p1/dev', '259:700\n');
  shown('devices/loop4/dev', '7:4\n');
  shown('devices/loop4/loop/backing_file', `${path('gone')} (deleted)\n`);
  mkdirSync(path('sys', 'block'));
  for (const [number, name] of [
    ['7:3', 'loop3'],
    ['259:700', 'loop3/loop3p1'],
    ['253:0', 'dm-0'],
    ['7:4', 'loop4'],
  ] as const) {
    symlinkSync(`../devices/${name}`, path('sys', 'block', number));
  }
});

const layers = (major: bigint, minor: bigint) => [...layersOf(device(major, minor), path('sys', 'block'))];

test('a file has no layers below it', () => {
  const stats = statSync(path('disk.raw'), { bigint: true });
  expect([...layersOf(stats)]).toEqual([fileIdentity(stats)]);
});

test('a mapped device has its partition, that partition’s disk and the disk’s file below it', () => {
  const file = fileIdentity(statSync(path('disk.raw'), { bigint: true }));
  expect(layers(7n, 3n)).toEqual([identityOf(7n, 3n), file]);
  expect(layers(253n, 0n).sort()).toEqual(
    [identityOf(253n, 0n), identityOf(259n, 700n), identityOf(7n, 3n), file].sort(),
  );
});

test('a device without visible layers, or whose file is deleted, has only itself', () => {
  expect(layers(8n, 0n)).toEqual([identityOf(8n, 0n)]);
  expect(layers(7n, 4n)).toEqual([identityOf(7n, 4n)]);
});
