/**
 * How much of the long lists is tested: `npm test` takes a few items of each, test/run-all.sh a fifth, and
 * `npm run test:all` every item. All of them go through each end-to-end story.
 */
const stage = process.env['QCOW2C_TESTS'];

/** Whether every item of every list is tested. */
export const TESTS_ALL = stage === 'all';
/** Whether at least a fifth of every list is tested. */
export const TESTS_MOST = TESTS_ALL || stage === 'most';

/**
 * @param all the items of a list
 * @param few how many of them `npm test` takes: the first, the last and others between them at equal distances
 * @returns the items to test, in their order
 */
export function sample<Item>(all: readonly Item[], few: number): readonly Item[] {
  const count = TESTS_MOST ? Math.max(few, Math.ceil(all.length / 5)) : few;
  if (TESTS_ALL || all.length <= count) return all;
  if (count === 1) return all.slice(0, 1);
  return Array.from({ length: count }, (_, index) => {
    return all[Math.round((index * (all.length - 1)) / (count - 1))]!;
  });
}

/** @returns how often a property is tried: `count` times, a fifth of them in test/run-all.sh, a tenth in `npm test` */
export function tries(count: number): number {
  return TESTS_ALL ? count : Math.ceil(count / (TESTS_MOST ? 5 : 10));
}
