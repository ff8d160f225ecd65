/** Memory that O_DIRECT accepts, and slots in it. */
import koffi from 'koffi';
import { describe, expect, test } from 'vitest';
import { roundDown, roundUp } from '../../src/arithmetic.js';
import {
  AlignedSlab,
  alignedMemory,
  DIRECT_ALIGNMENT,
  sharedAlignedMemory,
} from '../../src/system/aligned-memory.js';

const misalignment = (bytes: Uint8Array) => Number(koffi.address(bytes) % BigInt(DIRECT_ALIGNMENT));

describe('rounding', () => {
  test.each([
    [0, 4096, 0, 0],
    [1, 4096, 0, 4096],
    [4096, 4096, 4096, 4096],
    [4097, 4096, 4096, 8192],
    [7, 1, 7, 7],
    [2 ** 52 + 1, 4096, 2 ** 52, 2 ** 52 + 4096],
  ])('of %d to multiples of %d', (value, unit, below, above) => {
    expect(roundDown(value, unit)).toBe(below);
    expect(roundUp(value, unit)).toBe(above);
  });
});

describe('aligned memory', () => {
  test.each([0, 1, 4096, 65536, 65537, 3_000_000])(
    'of %d bytes is page-aligned, zeroed and large enough',
    (bytes) => {
      const memory = alignedMemory(bytes);
      expect(memory.length).toBeGreaterThanOrEqual(bytes);
      expect(misalignment(memory)).toBe(0);
      expect(memory.every((byte) => byte === 0)).toBe(true);
    },
  );

  test('that is shared is page-aligned too and visible to other threads', () => {
    const memory = sharedAlignedMemory(100_000);
    expect(memory).toBeInstanceOf(SharedArrayBuffer);
    expect(memory.byteLength).toBeGreaterThanOrEqual(100_000);
    expect(misalignment(new Uint8Array(memory))).toBe(0);
  });

  test('above the limit is a RangeError', () => {
    expect(() => alignedMemory(2 ** 45)).toThrow(RangeError);
  });
});

describe('a slab', () => {
  test.each([4096, 65536, 2 * 1024 * 1024])('lends aligned slots of %d bytes that do not overlap', (size) => {
    const slab = new AlignedSlab(3, size);
    const slots = [slab.take(), slab.take(), slab.take()].map((slot) => slot!);
    expect(slots.map((slot) => slot.length)).toEqual([size, size, size]);
    expect(slots.map(misalignment)).toEqual([0, 0, 0]);
    for (const [index, slot] of slots.entries()) slot.fill(index + 1);
    expect(slots.every((slot, index) => slot.every((byte) => byte === index + 1))).toBe(true);
  });

  test('lends at most its slots, and lends returned slots again', () => {
    const slab = new AlignedSlab(2, 4096);
    const first = slab.take()!;
    slab.take();
    expect(slab.take()).toBeUndefined();
    slab.giveBack(first);
    expect(slab.take()).toBe(first);
  });

  test('can grow', () => {
    const slab = new AlignedSlab(1, 4096);
    slab.take();
    slab.grow(2);
    const slots = [slab.take()!, slab.take()!];
    expect(slots.map(misalignment)).toEqual([0, 0]);
    expect(slab.take()).toBeUndefined();
  });

  test('refuses memory that is not one of its slots, and a slot that was returned already', () => {
    const slab = new AlignedSlab(1, 4096);
    const slot = slab.take()!;
    expect(() => slab.giveBack(slot.slice())).toThrow('not lent');
    slab.giveBack(slot);
    expect(() => slab.giveBack(slot)).toThrow('not lent');
  });
});
