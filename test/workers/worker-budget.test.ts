/** Threads, items in flight and caches, chosen by processors, disk and memory. */
import { availableParallelism } from 'node:os';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { GroupLimits } from '../../src/system/control-groups.js';
import { ITEM_BYTES } from '../../src/workers/plan.js';
import {
  bytesOf,
  limitBudgetToDisk,
  type MemoryNeed,
  planWorkerBudget,
} from '../../src/workers/worker-budget.js';

const FREE: GroupLimits = { processors: undefined, memory: undefined };
const NEED: MemoryNeed = { fixed: 1000, perThread: 100, perSlot: 10, cache: { wanted: 80, least: 20 } };
const budget = (threads: number | undefined, memory: number | undefined, groups = FREE) =>
  planWorkerBudget({ threads, memory }, undefined, NEED, groups);

test('without a limit there are two items for each thread and two more', () => {
  expect(budget(4, undefined)).toEqual({ threads: 4, slots: 10, cache: 80 });
});

describe('the number of threads', () => {
  test('is that of the processors, or of those that the control group leaves', () => {
    const processors = availableParallelism();
    const threads = (quota: number | undefined) =>
      budget(undefined, undefined, { ...FREE, processors: quota }).threads;
    expect(threads(undefined)).toBe(processors);
    expect(threads(1)).toBe(1);
    expect(threads(processors + 100)).toBe(processors);
  });

  test('is the requested one, even above the quota', () => {
    expect(budget(7, undefined, { ...FREE, processors: 1 }).threads).toBe(7);
  });

  test('is no more than the disk has work for', () => {
    expect(planWorkerBudget({ threads: 9 }, 3 * ITEM_BYTES, NEED, FREE)).toEqual({
      threads: 3,
      slots: 8,
      cache: 80,
    });
    expect(planWorkerBudget({ threads: 9 }, 0, NEED, FREE).threads).toBe(1);
    expect(limitBudgetToDisk({ threads: 9, slots: 10, cache: 5 }, 2 * ITEM_BYTES)).toEqual({
      threads: 2,
      slots: 6,
      cache: 5,
    });
    expect(limitBudgetToDisk({ threads: 2, slots: 3, cache: 5 }, undefined)).toEqual({
      threads: 2,
      slots: 3,
      cache: 5,
    });
  });
});

describe('where memory is short', () => {
  test('slots go first, then threads, then the cache', () => {
    // 1000 + 4 x 100 + 10 x 10 + 80
    expect(budget(4, 1580)).toEqual({ threads: 4, slots: 10, cache: 80 });
    expect(budget(4, 1579)).toEqual({ threads: 4, slots: 9, cache: 80 });
    expect(budget(4, 1530)).toEqual({ threads: 4, slots: 5, cache: 80 });
    expect(budget(4, 1529)).toEqual({ threads: 3, slots: 8, cache: 80 });
    expect(budget(4, 1200)).toEqual({ threads: 1, slots: 2, cache: 80 });
    expect(budget(4, 1199)).toEqual({ threads: 1, slots: 2, cache: 79 });
    expect(budget(4, 1140)).toEqual({ threads: 1, slots: 2, cache: 20 });
  });

  test('a limit below what one thread takes is an error that names the least', () => {
    expect(() => budget(4, 1139)).toThrow(
      expect.objectContaining({
        code: 'ERR_USAGE',
        message: 'A memory limit of 1139 bytes is too low: this run takes at least 1 MiB',
        expected: 1140,
        found: 1139,
      }),
    );
    // The least is rounded up: it works when it is typed.
    const needed = { ...NEED, fixed: 100.5 * 2 ** 20 };
    expect(() => planWorkerBudget({ threads: 4, memory: 50.5 * 2 ** 20 }, undefined, needed, FREE)).toThrow(
      'A memory limit of 50.5 MiB is too low: this run takes at least 101 MiB',
    );
  });

  test('the plan uses three quarters of a control group’s memory', () => {
    const within = (memory: number) => budget(4, undefined, { ...FREE, memory });
    expect(within(4000)).toEqual({ threads: 4, slots: 10, cache: 80 });
    expect(within(1600)).toEqual({ threads: 1, slots: 2, cache: 80 });
    expect(within(1590)).toEqual({ threads: 1, slots: 2, cache: 72 });
    expect(within(1)).toEqual({ threads: 1, slots: 2, cache: 20 });
  });

  test('the limit of the caller replaces that of the control group', () => {
    expect(budget(4, 1580, { ...FREE, memory: 1 })).toEqual({ threads: 4, slots: 10, cache: 80 });
  });
});

test('any limit: the budget fits into it, no thread and no slot more would, and nothing grows with less', () => {
  const sizes = fc.record({
    fixed: fc.nat(1000),
    perThread: fc.nat(300),
    perSlot: fc.integer({ min: 1, max: 50 }),
    cache: fc.option(fc.record({ least: fc.nat(50), more: fc.nat(100) }), { nil: undefined }),
  });
  fc.assert(
    fc.property(
      sizes,
      fc.integer({ min: 1, max: 40 }),
      fc.nat(20_000),
      ({ cache, ...rest }, threads, spare) => {
        const need = { ...rest, cache: cache && { least: cache.least, wanted: cache.least + cache.more } };
        const least = bytesOf({ threads: 1, slots: 2, cache: need.cache?.least ?? 0 }, need);
        const memory = least + spare;
        const found = planWorkerBudget({ threads, memory }, undefined, need, FREE);
        expect(bytesOf(found, need)).toBeLessThanOrEqual(memory);
        expect(found.threads).toBeGreaterThanOrEqual(1);
        expect(found.threads).toBeLessThanOrEqual(threads);
        expect(found.slots).toBeGreaterThanOrEqual(found.threads + 1);
        if (found.slots < 2 * found.threads + 2) {
          expect(bytesOf({ ...found, slots: found.slots + 1 }, need)).toBeGreaterThan(memory);
        }
        if (found.threads < threads) {
          const more = { ...found, threads: found.threads + 1, slots: found.threads + 2 };
          expect(bytesOf({ ...more, cache: need.cache?.wanted ?? 0 }, need)).toBeGreaterThan(memory);
        }
        const smaller = planWorkerBudget(
          { threads, memory: least + Math.floor(spare / 2) },
          undefined,
          need,
          FREE,
        );
        expect(smaller.threads).toBeLessThanOrEqual(found.threads);
        expect(smaller.cache).toBeLessThanOrEqual(found.cache);
      },
    ),
  );
});
