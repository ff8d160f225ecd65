/** The raw writer on real files and block devices: direct and through the page cache, in place and new. */
import * as fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { RawWriter } from '../../src/raw/raw-writer.js';
import type { CacheMode } from '../../src/storage/cache-mode.js';
import { openTarget } from '../../src/storage/open-target.js';
import { noLoopDevices, withLoopDevice } from '../e2e/loop-device.js';
import { useScratch } from '../e2e/scratch.js';
import { expectSameBytes } from '../storage/recording-storage.js';
import { type DiskItem, expectedContent, SECTOR, writeDisk } from './raw-disk-model.js';

const scratch = useScratch();
const ITEM = 64;
/** Scattered runs, an item without runs, a gap of one item, and data up to an end inside a block. */
const ITEMS: readonly DiskItem[] = [
  {
    start: 0,
    sectors: ITEM,
    runs: [
      [1, 2],
      [8, 9],
      [10, 30],
      [63, 64],
    ],
  },
  { start: ITEM, sectors: ITEM, runs: [] },
  {
    start: 3 * ITEM,
    sectors: 29,
    runs: [
      [0, 5],
      [27, 29],
    ],
  },
];
const DISK = (3 * ITEM + 29) * SECTOR;
/** The same disk with zeros at its end. */
const ZERO_END = ITEMS.map((item) => ({ ...item, runs: item.runs.filter(([, to]) => to !== 29) }));

/** Writes the disk to the target as a conversion does. @returns the kind of the target */
async function convert(path: string, mode: CacheMode, inPlace: boolean, items: readonly DiskItem[]) {
  const target = await openTarget(path, mode, inPlace);
  try {
    const writer = new RawWriter(target.file, DISK, { ...target, isZero: false });
    await target.commit(await writeDisk(writer, items));
    return target.kind;
  } catch (error) {
    await target.discard();
    throw error;
  }
}

describe.each<CacheMode>(['none', 'directsync', 'writeback'])('mode %s', (mode) => {
  describe.each([
    ['data', ITEMS],
    ['zeros', ZERO_END],
  ])('a disk that ends with %s', (end, items) => {
    test('as a new file has its length and holes', async () => {
      const path = scratch(`new-${mode}-${end}`);
      expect(await convert(path, mode, false, items)).toBe('new');
      expectSameBytes(fs.readFileSync(path), expectedContent(new Uint8Array(0), DISK, items));
      expect(fs.statSync(path).blocks * 512).toBeLessThan(DISK);
    });

    test.each([0, 1, 512, 1536, 4096, 100_000])(
      'in a file %d bytes larger leaves these bytes and the length unchanged',
      async (more) => {
        const path = scratch(`kept-${mode}-${end}-${more}`);
        const before = new Uint8Array(DISK + more).fill(0xaa);
        fs.writeFileSync(path, before);
        expect(await convert(path, mode, true, items)).toBe('existing');
        expectSameBytes(fs.readFileSync(path), expectedContent(before, DISK, items));
      },
    );
  });
});

test('zeros in an existing file take no space afterwards', async () => {
  const path = scratch('sparse');
  fs.writeFileSync(path, Buffer.alloc(DISK, 0xaa));
  await convert(path, 'none', true, []);
  expect(fs.statSync(path).blocks * 512).toBeLessThanOrEqual(4096);
});

test('a file that is too small is refused and unchanged', async () => {
  const path = scratch('small');
  fs.writeFileSync(path, 'small');
  await expect(convert(path, 'none', true, ITEMS)).rejects.toMatchObject({ code: 'ERR_USAGE' });
  expect(fs.readFileSync(path, 'utf8')).toBe('small');
});

const reason = await noLoopDevices();
if (reason !== undefined) {
  console.warn(`No loop devices (${reason}): only the recording storage tests devices.`);
} else {
  describe.each<CacheMode>(['none', 'writeback'])('a block device in mode %s', (mode) => {
    test.each([0, 512, 1024, 8192])('%d bytes larger than the disk', async (more) => {
      const path = scratch(`device-${mode}-${more}`);
      const before = new Uint8Array(DISK + more).fill(0xaa);
      fs.writeFileSync(path, before);
      await withLoopDevice(path, [], async (device) => {
        expect(await convert(device, mode, false, ITEMS)).toBe('device');
      });
      expectSameBytes(fs.readFileSync(path), expectedContent(before, DISK, ITEMS));
    });
  });

  test('a block device that is too small is refused and unchanged', async () => {
    const path = scratch('small-device');
    const before = new Uint8Array(DISK - 512).fill(0xaa);
    fs.writeFileSync(path, before);
    await withLoopDevice(path, [], async (device) => {
      await expect(convert(device, 'none', false, ITEMS)).rejects.toMatchObject({
        code: 'ERR_USAGE',
        found: DISK - 512,
        expected: DISK,
      });
    });
    expectSameBytes(fs.readFileSync(path), before);
  });
}
