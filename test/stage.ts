/**
 * How much of the long lists is tested. `npm test` goes once through each end-to-end story; `npm run test:all`, which
 * test/run-all.sh runs, goes through all of them.
 */

/** Whether every item of every list is tested. */
export const TESTS_ALL = process.env['QCOW2C_TESTS'] === 'all';

/**
 * @param all the items of a list
 * @param count how many of them `npm test` takes: the first, the last and others between them at equal distances
 * @returns the items to test, in their order
 */
export function sample<Item>(all: readonly Item[], count: number): readonly Item[] {
  if (TESTS_ALL || all.length <= count) return all;
  if (count === 1) return all.slice(0, 1);
  return Array.from({ length: count }, (_, index) => {
    return all[Math.round((index * (all.length - 1)) / (count - 1))]!;
  });
}

/** @returns how often a property is tried: `count` times, or in `npm test` a fifth of them */
export function tries(count: number): number {
  return TESTS_ALL ? count : Math.ceil(count / 5);
}
