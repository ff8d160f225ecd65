import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Cells, COLUMNS } from '../../src/map/cells.js';

const MOST_CELLS = COLUMNS * 32;

describe('cells', () => {
  test('are few, a power of two in size, and cover the address space', () => {
    const sizes = fc
      .tuple(fc.maxSafeNat(), fc.maxSafeNat())
      .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
    fc.assert(
      fc.property(sizes, fc.integer({ min: 9, max: 21 }), ([from, to], bits) => {
        const cells = new Cells<'a'>(from, to, 2 ** bits);
        expect(cells.count).toBeLessThanOrEqual(MOST_CELLS);
        expect(Number.isInteger(Math.log2(cells.cellSize))).toBe(true);
        expect(cells.cellSize).toBeGreaterThanOrEqual(2 ** bits);
        expect(cells.from).toBeLessThanOrEqual(from);
        expect(cells.from % cells.cellSize).toBe(0);
        expect(cells.from + cells.count * cells.cellSize).toBeGreaterThanOrEqual(to);
        // No larger than they have to be.
        const half = cells.cellSize / 2;
        const halves = Math.ceil(to / half) - Math.floor(from / half);
        expect(half < 2 ** bits || halves > MOST_CELLS).toBe(true);
      }),
    );
  });

  test('sum ranges byte for byte', () => {
    const range = fc.record({
      kind: fc.constantFrom('a' as const, 'b' as const),
      start: fc.integer({ min: 0, max: 9000 }),
      length: fc.integer({ min: 1, max: 3000 }),
    });
    fc.assert(
      fc.property(fc.array(range, { maxLength: 8 }), fc.integer({ min: 0, max: 4000 }), (ranges, from) => {
        const to = 7777;
        const cells = new Cells<'a' | 'b'>(from, to, 512);
        for (const { kind, start, length } of ranges) cells.add(kind, start, length);
        const expected = new Map<string, number>();
        for (const { kind, start, length } of ranges) {
          for (let byte = Math.max(start, cells.from); byte < Math.min(start + length, to); byte += 1) {
            const cell = `${kind}${Math.floor((byte - cells.from) / cells.cellSize)}`;
            expected.set(cell, (expected.get(cell) ?? 0) + 1);
          }
        }
        for (const kind of ['a', 'b'] as const) {
          let total = 0;
          for (let cell = 0; cell < cells.count; cell += 1) {
            const amount = expected.get(`${kind}${cell}`) ?? 0;
            expect(cells.of(kind, cell)).toBeCloseTo(amount, 6);
            total += amount;
          }
          expect(cells.total(kind)).toBeCloseTo(total, 6);
        }
      }),
    );
  });

  test('spread another amount evenly over a range', () => {
    const cells = new Cells<'payload'>(0, 4096, 512);
    cells.add('payload', 256, 1024, 100);
    expect([0, 1, 2, 3].map((cell) => cells.of('payload', cell))).toEqual([25, 50, 25, 0]);
  });

  test('the last cell may be partial', () => {
    const cells = new Cells<'a'>(0, 1300, 512);
    expect([0, 1, 2].map((cell) => cells.bytesIn(cell))).toEqual([512, 512, 276]);
    expect(new Cells<'a'>(0, 0, 512).count).toBe(0);
  });
});
