/**
 * Makes system calls of small conversions fail, one in each conversion, in one process. test/run-all.sh tries every twelfth
 * call in one way (with worker threads every fortieth), `npm run test:all` every second one (every tenth), and
 * `npm run sweep` all calls in all ways.
 */
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, inject, test } from 'vitest';
import { useScratch } from '../e2e/scratch.js';
import { run } from '../oracle/run.js';
import { TESTS_ALL } from '../stage.js';
import { buildSweep } from './build-sweep.js';
import { makeSourceFiles } from './source-files.js';
import type { SweepResult } from './sweep.js';
import { SWEPT_PATHS } from './swept-paths.js';

const notBuilt = inject('notBuilt');
if (notBuilt !== undefined) throw new Error(notBuilt);

const WORKER = fileURLToPath(new URL('../../dist/worker.cjs', import.meta.url));
/** `all`, or a part of a path's name for all of that. */
const wanted = process.env['QCOW2C_SWEEP'];
const share = wanted !== undefined ? 'all' : TESTS_ALL ? 'most' : 'some';
const only = wanted === 'all' ? '' : (wanted ?? '');

const path = useScratch();
let built: Awaited<ReturnType<typeof buildSweep>>;
beforeAll(async () => {
  await makeSourceFiles(path('images'));
  built = await buildSweep(path('built'));
});

test('when a system call fails, the error names it and there are no leftovers', {
  timeout: wanted === undefined ? 600_000 : 4 * 3_600_000,
}, async () => {
  const { library, program } = built;
  const args = ['--enable-source-maps', program, library, path(''), WORKER, share, only];
  const { status, signal, stdout, stderr } = await run(process.execPath, args, {
    env: { LD_PRELOAD: library },
  });
  // A conversion that hangs is named there.
  expect({ status, signal, stderr }).toEqual({
    status: 0,
    signal: null,
    stderr: expect.stringContaining(' runs, '),
  });
  const { counts, findings } = JSON.parse(stdout) as SweepResult;
  if (wanted !== undefined) console.log(stderr, counts);
  expect(findings).toEqual([]);
  // In most runs a call failed, and neither all nor none of them are errors.
  expect(counts.failedCalls).toBeGreaterThan(counts.runs * 0.8);
  expect(counts.errors).toBeGreaterThan(counts.runs * 0.3);
  expect(counts.errors).toBeLessThan(counts.runs * 0.7);
  if (only === '') expect(counts.runs).toBeGreaterThan((share === 'some' ? 3 : 25) * SWEPT_PATHS.length);
});
