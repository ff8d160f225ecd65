import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import { readU64 } from '../../src/qcow2/be64.js';
import {
  bitmapBits,
  bitmapTableEntries,
  decodeBitmapTableEntry,
  encodeBitmapTable,
} from '../../src/qcow2/bitmap-table.js';
import { TableReader } from '../../src/qcow2/table-reader.js';
import { MemoryFile } from './memory-file.js';

const MiB = 2 ** 20;
const reader = new TableReader(new MemoryFile(new Uint8Array(0)), "table of bitmap 'b'", {
  offset: 0,
  length: 0,
});
const decode = (raw: bigint, clusterSize = 512) => decodeBitmapTableEntry(raw, reader, 4096, clusterSize);

describe('bitmapTableEntries', () => {
  it('counts granules and clusters of bits, including partial ones', () => {
    expect(bitmapBits(10 * MiB, 16)).toBe(160);
    expect(bitmapBits(10 * MiB + 512, 16)).toBe(161);
    expect(bitmapBits(0, 16)).toBe(0);
    expect(bitmapTableEntries(10 * MiB, 16, 65536)).toBe(1);
    expect(bitmapTableEntries(512 * 8 * 65536, 16, 512)).toBe(1);
    expect(bitmapTableEntries(512 * 8 * 65536 + 512, 16, 512)).toBe(2);
    expect(bitmapTableEntries(0, 9, 512)).toBe(0);
  });
});

describe('encodeBitmapTable', () => {
  it('encodes zeros, ones and offsets as specified', () => {
    const bytes = encodeBitmapTable([
      { kind: 'zeros' },
      { kind: 'ones' },
      { kind: 'data', offset: hostOffset(0x7_0000_0000) },
    ]);
    expect(Buffer.from(bytes).toString('hex')).toBe('000000000000000000000000000000010000000700000000');
  });

  it('is read back entry by entry', () => {
    const entry = fc.oneof(
      fc.constantFrom({ kind: 'zeros' as const }, { kind: 'ones' as const }),
      fc.integer({ min: 1, max: 2 ** 44 - 2 }).map((cluster) => ({
        kind: 'data' as const,
        offset: hostOffset(cluster * 512),
      })),
    );
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        const bytes = encodeBitmapTable(entries);
        expect(entries.map((_, index) => decode(readU64(bytes, index * 8)))).toEqual(entries);
      }),
    );
  });

  it('refuses an invalid cluster offset', () => {
    for (const offset of [0, 1, 2 ** 8, 512 + 256]) {
      expect(() => encodeBitmapTable([{ kind: 'data', offset: hostOffset(offset) }])).toThrow(
        expect.objectContaining({ code: 'ERR_INTERNAL' }),
      );
    }
  });
});

describe('decodeBitmapTableEntry', () => {
  it('refuses reserved bits, also beside bit 0 and beside an offset', () => {
    for (const raw of [2n, 3n, 0x100n, 0x201n, 0x203n, 1n << 56n, (1n << 63n) | 1n, (1n << 60n) | 512n]) {
      expect(() => decode(raw)).toThrow(
        expect.objectContaining({
          code: 'ERR_CORRUPT',
          file: 'x.qcow2',
          offset: 4096,
          found: `0x${raw.toString(16)}`,
        }),
      );
    }
  });

  it('refuses an offset that is not aligned to a cluster', () => {
    expect(decode(512n, 512)).toEqual({ kind: 'data', offset: 512 });
    expect(() => decode(512n, 1024)).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT', offset: 4096 }));
  });
});
