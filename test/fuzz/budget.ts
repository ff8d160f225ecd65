/**
 * How much is fuzzed: by default what every test run can afford. `npm run fuzz` does more, and is told by
 *     QCOW2C_FUZZ_MUTANTS        how many mutants (20000)
 *     QCOW2C_FUZZ_SEED           of which seed (1)
 *     QCOW2C_FUZZ_COMPARE_EVERY  every which one that is read is also shown to qemu-img (8)
 */
import { TESTS_ALL, TESTS_MOST } from '../stage.js';

const given = (name: string, otherwise: number) => Number(process.env[`QCOW2C_FUZZ_${name}`] ?? otherwise);

const isLarge = process.env['QCOW2C_FUZZ_MUTANTS'] !== undefined;
const mutants = given('MUTANTS', TESTS_ALL ? 1500 : TESTS_MOST ? 400 : 150);

export const budget = {
  isLarge,
  mutants,
  seed: given('SEED', 1),
  compareEvery: given('COMPARE_EVERY', 8),
  /** After which no further mutant begins. */
  milliseconds: isLarge ? Number.POSITIVE_INFINITY : TESTS_ALL ? 15_000 : 5000,
  /** Seconds of the whole test; each mutant has its own watchdog. */
  timeout: isLarge ? 60_000 + mutants * 2000 : 120_000,
} as const;
