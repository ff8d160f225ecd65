/**
 * The amount of fuzzing: by default a few seconds in every test run. `npm run fuzz` does more, by these variables:
 *     QCOW2C_FUZZ_MUTANTS        number of mutants (20000)
 *     QCOW2C_FUZZ_SEED           their seed (1)
 *     QCOW2C_FUZZ_COMPARE_EVERY  compare every nth mutant that is read with qemu-img (8)
 */
import { TESTS_ALL } from '../stage.js';

const given = (name: string, otherwise: number) => Number(process.env[`QCOW2C_FUZZ_${name}`] ?? otherwise);

const isLarge = process.env['QCOW2C_FUZZ_MUTANTS'] !== undefined;
const mutants = given('MUTANTS', TESTS_ALL ? 1500 : 60);

export const budget = {
  isLarge,
  mutants,
  /** How many are also given to the built program. */
  programs: Math.max(4, Math.ceil(mutants / 100)),
  seed: given('SEED', 1),
  compareEvery: given('COMPARE_EVERY', 8),
  /** After which no further mutant begins. */
  milliseconds: isLarge ? Number.POSITIVE_INFINITY : TESTS_ALL ? 15_000 : 5000,
  /** Seconds of the whole test; each mutant has its own watchdog. */
  timeout: isLarge ? 60_000 + mutants * 2000 : 120_000,
} as const;
