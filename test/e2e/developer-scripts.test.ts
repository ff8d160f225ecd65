/** The scripts of package.json that take options describe them, without doing anything. */
import { expect, test } from 'vitest';
import { run } from '../oracle/run.js';
import { ROOT } from './cli.js';

test.each([
  ['bench/run.js', '[--runs N] [--only ROW[,ROW]] [--dir DIR]'],
  ['bench/profile.js', '[--runs N]'],
  ['test/fuzz/coverage/run.js', '[--seeds] [--keep]'],
])('%s --help prints its usage', async (script, options) => {
  expect(await run(process.execPath, [script, '--help'], { cwd: ROOT })).toMatchObject({
    ...{ status: 0, stderr: '' },
    stdout: expect.stringContaining(options),
  });
});
