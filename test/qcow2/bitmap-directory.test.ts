import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import { writeU32, writeU64 } from '../../src/qcow2/be64.js';
import {
  encodeBitmapDirectory,
  type NewBitmap,
  readBitmapDirectory,
} from '../../src/qcow2/bitmap-directory.js';
import { bitmapTableEntries } from '../../src/qcow2/bitmap-table.js';
import { MemoryFile } from './memory-file.js';

const MiB = 2 ** 20;
const image = { clusterBits: 16, virtualSize: 10 * MiB };
const offset = hostOffset(0x10000);
const example: NewBitmap = {
  name: 'b0',
  granularityBits: 16,
  auto: true,
  tableOffset: hostOffset(0x20000),
  tableEntries: 1,
};

/** Reads `bytes` as the directory of `count` bitmaps. */
function read(bytes: Uint8Array, count = 1, of = image) {
  const file = new MemoryFile(Buffer.concat([Buffer.alloc(offset), bytes]));
  return readBitmapDirectory(file, of, { count, directorySize: bytes.length, directoryOffset: offset });
}

/** The example's entry, changed. */
function changed(change: (bytes: Uint8Array) => void): Uint8Array {
  const bytes = encodeBitmapDirectory([example]);
  change(bytes);
  return bytes;
}

/** The example with extra data and these flags. */
function withExtraData(flags: number): Uint8Array {
  const entry = Buffer.concat([
    encodeBitmapDirectory([example]).subarray(0, 24),
    Buffer.from('0123456789b0    '),
  ]);
  writeU32(entry, 12, flags);
  writeU32(entry, 20, 10);
  return entry.fill(0, 36);
}

const bitmapsOfADisk = fc
  .record({
    clusterBits: fc.integer({ min: 9, max: 21 }),
    sectors: fc.integer({ min: 1, max: 2 ** 24 }),
    bitmaps: fc.uniqueArray(
      fc.record({
        name: fc
          .string({ unit: 'binary', minLength: 1, maxLength: 80 })
          .filter((name) => !name.includes('\0')),
        granularityBits: fc.integer({ min: 9, max: 31 }),
        auto: fc.boolean(),
        cluster: fc.integer({ min: 1, max: 2 ** 30 }),
      }),
      { selector: ({ name }) => name, minLength: 1, maxLength: 6 },
    ),
  })
  .map(({ clusterBits, sectors, bitmaps }) => {
    const virtualSize = sectors * 512;
    const list = bitmaps.map(
      ({ cluster, ...bitmap }): NewBitmap => ({
        ...bitmap,
        tableOffset: hostOffset(cluster * 2 ** clusterBits),
        tableEntries: bitmapTableEntries(virtualSize, bitmap.granularityBits, 2 ** clusterBits),
      }),
    );
    return { image: { clusterBits, virtualSize }, list };
  });

describe('encodeBitmapDirectory', () => {
  it('writes every field at its specified offset', () => {
    expect(
      Buffer.from(encodeBitmapDirectory([example]))
        .toString('hex')
        .match(/.{16}/g),
    ).toEqual([
      '0000000000020000', // bitmap_table_offset
      '0000000100000002', // bitmap_table_size, flags: auto
      '0110000200000000', // type, granularity_bits, name_size, extra_data_size
      '6230000000000000', // name, padding
    ]);
  });

  it('is read back for any bitmaps', async () => {
    await fc.assert(
      fc.asyncProperty(bitmapsOfADisk, async ({ image: of, list }) => {
        const found = await read(encodeBitmapDirectory(list), list.length, of);
        expect(found).toEqual(list.map((bitmap) => ({ ...bitmap, inUse: false })));
      }),
    );
  });

  it('refuses names and granularities that QEMU does not read', () => {
    const refused = [
      { name: '' },
      { name: 'x'.repeat(1024) },
      { granularityBits: 8 },
      { granularityBits: 32 },
    ];
    for (const fields of refused) {
      expect(() => encodeBitmapDirectory([{ ...example, ...fields }])).toThrow(
        expect.objectContaining({ code: 'ERR_INTERNAL' }),
      );
    }
    expect(encodeBitmapDirectory([{ ...example, name: 'x'.repeat(1023) }]).length).toBe(1048);
  });
});

describe('readBitmapDirectory', () => {
  it('reports a bitmap that was not saved, of any size', async () => {
    const bytes = changed((entry) => {
      writeU32(entry, 8, 7);
      writeU32(entry, 12, 1);
    });
    expect(await read(bytes)).toEqual([{ ...example, auto: false, tableEntries: 7, inUse: true }]);
  });

  it('counts only whole sectors of the disk, as QEMU does', async () => {
    const of = { clusterBits: 16, virtualSize: 65536 * 8 * 65536 + 511 };
    expect(await read(encodeBitmapDirectory([example]), 1, of)).toEqual([{ ...example, inUse: false }]);
  });

  it('skips extra data that may be ignored', async () => {
    expect(await read(withExtraData(4 | 2))).toEqual([{ ...example, inUse: false }]);
    await expect(read(withExtraData(2))).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      offset: offset + 20,
      found: '10',
    });
  });

  it.each<[string, 'ERR_CORRUPT' | 'ERR_UNSUPPORTED', number, (bytes: Uint8Array) => void]>([
    ['a table in the header', 'ERR_CORRUPT', 0, (bytes) => writeU64(bytes, 0, 0n)],
    ['a table that is not aligned', 'ERR_CORRUPT', 0, (bytes) => writeU64(bytes, 0, 0x20200n)],
    ['a table past every file', 'ERR_CORRUPT', 0, (bytes) => writeU64(bytes, 0, 0xffff_ffff_ffff_0000n)],
    ['no table', 'ERR_CORRUPT', 8, (bytes) => writeU32(bytes, 8, 0)],
    ['a table that is not of the disk', 'ERR_CORRUPT', 8, (bytes) => writeU32(bytes, 8, 2)],
    ['a table larger than QEMU reads', 'ERR_CORRUPT', 8, (bytes) => writeU32(bytes, 8, 8193)],
    ['a reserved flag', 'ERR_UNSUPPORTED', 12, (bytes) => writeU32(bytes, 12, 8)],
    ['the highest flag', 'ERR_UNSUPPORTED', 12, (bytes) => writeU32(bytes, 12, 0x80000000)],
    ['a reserved type', 'ERR_UNSUPPORTED', 16, (bytes) => bytes.fill(2, 16, 17)],
    ['a granularity too fine for QEMU', 'ERR_UNSUPPORTED', 17, (bytes) => bytes.fill(8, 17, 18)],
    ['a granularity too coarse for QEMU', 'ERR_UNSUPPORTED', 17, (bytes) => bytes.fill(32, 17, 18)],
    ['a name too long for QEMU', 'ERR_UNSUPPORTED', 18, (bytes) => bytes.fill(4, 18, 19)],
    ['no name', 'ERR_CORRUPT', 18, (bytes) => bytes.fill(0, 19, 20)],
    ['a name of NULs', 'ERR_CORRUPT', 18, (bytes) => bytes.fill(0, 24)],
    ['a name that is not UTF-8', 'ERR_UNSUPPORTED', 24, (bytes) => bytes.fill(0xff, 24, 26)],
    ['a name that runs out of the directory', 'ERR_CORRUPT', 24, (bytes) => bytes.fill(9, 19, 20)],
  ])('refuses %s', async (_, code, at, change) => {
    await expect(read(changed(change))).rejects.toMatchObject({ code, file: 'x.qcow2', offset: offset + at });
  });

  it('refuses two bitmaps with the same name', async () => {
    await expect(read(encodeBitmapDirectory([example, example]), 2)).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      offset: offset + 32,
      found: "'b0'",
    });
  });

  it('refuses a directory with more or fewer bitmaps than the header says', async () => {
    const two = encodeBitmapDirectory([example, { ...example, name: 'b1' }]);
    await expect(read(two, 1)).rejects.toMatchObject({ code: 'ERR_CORRUPT', found: '64' });
    await expect(read(two, 3)).rejects.toMatchObject({ code: 'ERR_CORRUPT', offset: offset + 64 });
  });

  it('keeps no more than 64 KiB of a directory that claims to be large', async () => {
    const file = new MemoryFile(Buffer.alloc(offset), 2 ** 40);
    const extension = { count: 65535, directorySize: 64 * MiB, directoryOffset: offset };
    await expect(readBitmapDirectory(file, image, extension)).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
    });
    expect(file.reads).toEqual([{ offset, length: 65536 }]);
  });
});
