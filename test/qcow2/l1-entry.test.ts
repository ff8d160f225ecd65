import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import { decodeL1Entry, encodeL1Entry } from '../../src/qcow2/l1-entry.js';

describe('L1 entry', () => {
  it('is the offset with bit 63 set', () => {
    expect(encodeL1Entry(hostOffset(0x50000))).toBe(0x8000_0000_0005_0000n);
  });

  it('is read back for every valid offset of an L2 table', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 44 - 1 }), (sector) => {
        const l2TableOffset = hostOffset(sector * 512);
        expect(decodeL1Entry(encodeL1Entry(l2TableOffset))).toEqual({ l2TableOffset, copied: true });
      }),
    );
  });

  it('without an offset has no L2 table', () => {
    expect(decodeL1Entry(0n)).toEqual({ l2TableOffset: undefined, copied: false });
  });

  it('ignores reserved bits', () => {
    expect(decodeL1Entry(0x7f00_0000_0005_01ffn)).toEqual({ l2TableOffset: 0x50000, copied: false });
  });

  it('is refused for offset 0 and for unaligned offsets', () => {
    for (const offset of [0, 1, 65537]) {
      expect(() => encodeL1Entry(hostOffset(offset))).toThrow(
        expect.objectContaining({ code: 'ERR_INTERNAL' }),
      );
    }
  });

  it('with an offset past 2^53 is corrupt', () => {
    expect(() => decodeL1Entry(1n << 55n)).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
  });
});
