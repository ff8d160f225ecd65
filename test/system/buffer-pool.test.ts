/** Buffers that are reused: large enough, lent to one user at a time, and never more than were lent at once. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BufferPool } from '../../src/system/buffer-pool.js';

test('a buffer is large enough and lent to one user at a time, and no more are kept than were ever lent at once', () => {
  const take = fc.record({ bytes: fc.integer({ min: 0, max: 100 }) });
  const giveBack = fc.record({ which: fc.nat(9) });
  fc.assert(
    fc.property(
      fc.array(fc.oneof(take, giveBack, fc.constant('all' as const)), { maxLength: 60 }),
      (steps) => {
        const made: object[] = [];
        const memory = new BufferPool((bytes) => {
          const piece = { byteLength: bytes };
          made.push(piece);
          return piece;
        });
        const lent: { byteLength: number }[] = [];
        let mostLent = 0;
        for (const step of steps) {
          if (step === 'all') {
            memory.giveBackAll();
            lent.length = 0;
          } else if ('bytes' in step) {
            const piece = memory.take(step.bytes);
            expect(piece.byteLength).toBeGreaterThanOrEqual(step.bytes);
            expect(lent).not.toContain(piece);
            lent.push(piece);
            mostLent = Math.max(mostLent, lent.length);
          } else {
            const [piece] = lent.splice(step.which, 1);
            if (piece !== undefined) memory.giveBack(piece);
          }
        }
        memory.giveBackAll();
        // A kept buffer of any size is replaced before a new one is added.
        const before = made.length;
        const kept = new Set<object>();
        while (made.length === before) kept.add(memory.take(0));
        expect(kept.size - 1).toBeLessThanOrEqual(mostLent);
      },
    ),
  );
});

test('the smallest buffer that is large enough is lent, and one that is too small is replaced', () => {
  const made: number[] = [];
  const memory = new BufferPool((byteLength) => {
    made.push(byteLength);
    return { byteLength };
  });
  for (const bytes of [10, 30, 20]) memory.take(bytes);
  memory.giveBackAll();
  expect([memory.take(15), memory.take(15), memory.take(15)].map(({ byteLength }) => byteLength)).toEqual([
    20, 30, 15,
  ]);
  expect(made).toEqual([10, 30, 20, 15]);
  memory.giveBackAll();
  // The buffer of 10 bytes was dropped.
  expect([1, 1, 1, 1].map((bytes) => memory.take(bytes).byteLength)).toEqual([15, 20, 30, 1]);
});

test('a buffer that was never lent is not added', () => {
  const memory = new BufferPool((byteLength) => ({ byteLength }));
  memory.giveBack({ byteLength: 50 });
  expect(memory.take(10).byteLength).toBe(10);
});
