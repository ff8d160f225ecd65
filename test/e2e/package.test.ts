/** What npm publishes: the program, the library and its declarations, and nothing of how they are made. */
import { expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { ROOT } from './cli.js';

test('the package holds what runs and what explains it, and no sources or tests', async () => {
  const listing = await runOk('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: ROOT });
  const [{ files }] = JSON.parse(listing) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  for (const wanted of [
    'bin/qcow2c.js',
    'dist/cli.js',
    'dist/index.js',
    'dist/worker.js',
    'dist/types/index.d.ts',
  ]) {
    expect(paths).toContain(wanted);
  }
  for (const wanted of ['package.json', 'README.md', 'LICENSE']) expect(paths).toContain(wanted);
  expect(paths.filter((path) => /^(src|test|fixtures|bench|\.ci)\//.test(path))).toEqual([]);
});
