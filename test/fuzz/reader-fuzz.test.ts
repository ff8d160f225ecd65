/** Mutants of valid images through the whole library, on one thread: a small part in every run, more in `npm run fuzz`. */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { budget } from './budget.js';
import { fuzz } from './fuzzing.js';
import { warmUp } from './library-run.js';
import { Workbench } from './workbench.js';

vi.mock('../../src/workers/pool.js', () => import('./in-thread-pool.js'));

const directory = mkdtempSync(join(inject('scratch'), 'fuzz-'));
afterAll(() => rm(directory, { recursive: true, force: true }));
let bench: Workbench;
beforeAll(async () => {
  bench = await Workbench.open(directory);
  await warmUp(bench);
});

test('a mutant follows from its seed and its number alone', () => {
  const mutants = (seed: number) => Array.from({ length: 50 }, (_, index) => bench.mutant(seed, index));
  expect(mutants(7)).toEqual(mutants(7));
  expect(mutants(7)).not.toEqual(mutants(8));
  expect(bench.mutant(7, 49)).toEqual(mutants(7)[49]);
});

test('a broken image is read as qemu-img reads it, or is an error with a reason', {
  timeout: budget.timeout,
}, async () => {
  const { findings, ...counts } = await fuzz(bench, budget.seed, budget.mutants, budget);
  if (budget.isLarge) console.log(counts);
  expect(findings).toEqual([]);
  // Neither all nor none are read, and some of both were shown to qemu-img.
  expect(counts.successes).toBeGreaterThan(counts.mutants / 10);
  expect(counts.successes).toBeLessThan(counts.mutants);
  expect(counts.compared).toBeGreaterThan(0);
});
