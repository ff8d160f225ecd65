import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { geometry, l1EntriesFor, MAX_L1_BYTES, TABLE_ENTRY_BYTES } from '../../src/qcow2/geometry.js';

describe('geometry', () => {
  it('derives the defaults of qemu-img: 64 KiB clusters, 16-bit refcounts', () => {
    expect(geometry(16, 16)).toEqual({
      clusterBits: 16,
      clusterSize: 65536,
      extendedL2: false,
      l2EntryBytes: 8,
      l2Entries: 8192,
      refcountBits: 16,
      refcountOrder: 4,
      refcountBlockEntries: 32768,
      refcountMax: 65535,
    });
  });

  it('halves the entries of an L2 table when they are extended', () => {
    expect(geometry(14, 16, true)).toMatchObject({ extendedL2: true, l2EntryBytes: 16, l2Entries: 1024 });
    expect(l1EntriesFor(geometry(16, 16, true), 2 ** 30)).toBe(4);
  });

  it.each([
    [1, 0, 4096, 1],
    [2, 1, 2048, 3],
    [4, 2, 1024, 15],
    [8, 3, 512, 255],
    [16, 4, 256, 65535],
    [32, 5, 128, 4294967295],
    [64, 6, 64, Number.MAX_SAFE_INTEGER],
  ])(
    'derives order, block and maximum of %i-bit refcounts in 512-byte clusters',
    (bits, order, entries, max) => {
      expect(geometry(9, bits)).toMatchObject({
        refcountOrder: order,
        refcountBlockEntries: entries,
        refcountMax: max,
      });
    },
  );
});

describe('l1EntriesFor', () => {
  it('needs no entry for an empty disk, and one for each L2 table, full or not', () => {
    const reach = 512 * 1024 * 1024;
    const entries = (virtualSize: number) => l1EntriesFor(geometry(16, 16), virtualSize);
    expect([0, 512, reach, reach + 512, 2 * reach].map(entries)).toEqual([0, 1, 1, 2, 2]);
  });

  it('reaches the limit of the L1 table at 128 GiB of 512-byte clusters, as the specification says', () => {
    expect(l1EntriesFor(geometry(9, 16), 128 * 2 ** 30)).toBe(MAX_L1_BYTES / TABLE_ENTRY_BYTES);
  });

  it('covers the end of the disk with the last entry and not before', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 9, max: 21 }),
        fc.maxSafeNat().filter((size) => size > 0),
        (clusterBits, size) => {
          const { clusterSize, l2Entries } = geometry(clusterBits, 16);
          const reach = BigInt(clusterSize) * BigInt(l2Entries);
          const entries = BigInt(l1EntriesFor(geometry(clusterBits, 16), size));
          expect(entries * reach >= BigInt(size) && (entries - 1n) * reach < BigInt(size)).toBe(true);
        },
      ),
    );
  });
});
