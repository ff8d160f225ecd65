import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readU64 } from '../../src/qcow2/be64.js';
import { geometry } from '../../src/qcow2/geometry.js';
import { decodeHeader } from '../../src/qcow2/header.js';
import {
  getExactRefcount,
  getRefcount,
  hasReferences,
  LARGE_REFCOUNT,
  setRefcount,
  unpackRefcounts,
} from '../../src/qcow2/refcount-block.js';
import { useScratch } from '../e2e/scratch.js';
import { create } from '../oracle/qemu-img.js';

const scratch = useScratch();
const WIDTHS = [1, 2, 4, 8, 16, 32, 64];

describe('refcount block', () => {
  it.each([
    [1, [1, 0, 1, 1, 0, 0, 0, 0, 1], [0b0000_1101, 0b0000_0001]],
    [2, [1, 2, 3, 0, 2], [0b00_11_10_01, 0b00_00_00_10]],
    [4, [0x1, 0xf, 0x7], [0xf1, 0x07]],
    [8, [0x12, 0xff], [0x12, 0xff]],
    [16, [0x1234], [0x12, 0x34]],
    [32, [0x81234567], [0x81, 0x23, 0x45, 0x67]],
    [64, [0x1f_ffff_ffff_fffe], [0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]],
  ])('packs refcounts of %i bits as the specification says', (bits, values, bytes) => {
    const block = new Uint8Array(bytes.length);
    for (const [index, value] of values.entries()) setRefcount(block, index, bits, value);
    expect([...block]).toEqual(bytes);
    expect(values.map((_, index) => getRefcount(block, index, bits))).toEqual(values);
  });

  it('changes one refcount and keeps every other, for every width', () => {
    const cases = fc.constantFrom(...WIDTHS).chain((bits) => {
      const { refcountMax, refcountBlockEntries } = geometry(9, bits);
      const write = fc.tuple(fc.nat(refcountBlockEntries - 1), fc.nat(refcountMax));
      return fc.tuple(fc.constant(bits), fc.array(write, { maxLength: 30 }));
    });
    fc.assert(
      fc.property(cases, ([bits, writes]) => {
        const block = new Uint8Array(512);
        const model = new Array<number>(geometry(9, bits).refcountBlockEntries).fill(0);
        for (const [index, value] of writes) {
          setRefcount(block, index, bits, value);
          model[index] = value;
        }
        expect(model.map((_, index) => getRefcount(block, index, bits))).toEqual(model);
        expect(model.map((_, index) => getExactRefcount(block, index, bits))).toEqual(model.map(BigInt));
        expect(model.map((_, index) => hasReferences(block, index, bits))).toEqual(model.map(Boolean));
        const together = new Uint32Array(model.length);
        unpackRefcounts(block, bits, together);
        expect([...together]).toEqual(model.map((value) => Math.min(value, LARGE_REFCOUNT)));
      }),
    );
  });

  it.each(WIDTHS)('refuses a value or an index out of range for %i bits', (bits) => {
    const block = new Uint8Array(512);
    const { refcountBlockEntries } = geometry(9, bits);
    const internal = expect.objectContaining({ code: 'ERR_INTERNAL' });
    for (const value of [-1, 0.5, 2 ** bits]) {
      expect(() => setRefcount(block, 0, bits, value)).toThrow(internal);
    }
    for (const index of [-1, 0.5, refcountBlockEntries]) {
      expect(() => setRefcount(block, index, bits, 1)).toThrow(internal);
      expect(() => getRefcount(block, index, bits)).toThrow(internal);
    }
    expect(block.every((byte) => byte === 0)).toBe(true);
  });

  it('reports a 64-bit refcount past 2^53 as corrupt', () => {
    const block = new Uint8Array(512).fill(0xff);
    expect(() => getRefcount(block, 3, 64)).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
    expect(getExactRefcount(block, 3, 64)).toBe(2n ** 64n - 1n);
    expect(hasReferences(block, 3, 64)).toBe(true);
  });

  it.each(WIDTHS)('reads refcounts of %i bits written by qemu-img', async (bits) => {
    const image = scratch(`${bits}.qcow2`);
    await create(image, 2 ** 20, ['-o', `refcount_bits=${bits}`]);
    const file = readFileSync(image);
    const { refcountTableOffset } = decodeHeader(file, image);
    const offset = Number(readU64(file, refcountTableOffset));
    const block = file.subarray(offset, offset + 65536);
    // Header, refcount table, refcount block and L1 table are the only clusters of an empty image.
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((index) => getRefcount(block, index, bits))).toEqual([
      1, 1, 1, 1, 0, 0, 0, 0,
    ]);
  });
});
