/**
 * How much is tested: `npm test` takes a few items of each list and leaves out the long stories, test/run-all.sh and a
 * single file run by hand take a twelfth of each list, and `npm run test:all` every item.
 */
import { test } from 'vitest';

const stage = process.env['QCOW2C_TESTS'] ?? 'most';

/** Whether every item of every list is tested. */
export const TESTS_ALL = stage === 'all';
/** Whether at least a twelfth of every list is tested. */
const TESTS_MOST = TESTS_ALL || stage === 'most';

/** A test of a long story, which `npm test` leaves out; LONG in vite.config.ts names whole files of them. */
export function longTest(name: string, run: () => void | Promise<void>, timeout?: number): void {
  if (TESTS_MOST) test(name, run, timeout);
}

/**
 * @param all the items of a list
 * @param few how many of them `npm test` takes: the first, the last and others between them at equal distances
 * @param most how many of them test/run-all.sh takes at least
 * @returns the items to test, in their order
 */
export function sample<Item>(all: readonly Item[], few: number, most = few): readonly Item[] {
  const count = TESTS_MOST ? Math.max(most, Math.ceil(all.length / 12)) : few;
  if (TESTS_ALL || all.length <= count) return all;
  if (count === 1) return all.slice(0, 1);
  return Array.from({ length: count }, (_, index) => {
    return all[Math.round((index * (all.length - 1)) / (count - 1))]!;
  });
}

/**
 * For a list in which each item shows something of its own, or of which a few are enough before a commit.
 * @returns `few` items at equal distances in `npm test`, and all items elsewhere
 */
export function shortened<Item>(all: readonly Item[], few: number): readonly Item[] {
  return TESTS_MOST ? all : sample(all, few);
}

/** @returns how often a property is tried: `count` times, a fifth of them in test/run-all.sh, a tenth in `npm test` */
export function tries(count: number): number {
  return TESTS_ALL ? count : Math.ceil(count / (TESTS_MOST ? 5 : 10));
}
