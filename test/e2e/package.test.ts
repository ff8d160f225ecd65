/** What npm publishes: the program, the library and its declarations, and nothing of how they are made. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { publint } from 'publint';
import { expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { cliOk, ROOT } from './cli.js';

test('the package holds program, library and documents, and no sources or tests', async () => {
  const listing = await runOk('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: ROOT });
  const [{ files, unpackedSize }] = JSON.parse(listing) as [
    { files: { path: string }[]; unpackedSize: number },
  ];
  expect(unpackedSize).toBeLessThan(1_600_000);
  const paths = files.map(({ path }) => path);
  for (const wanted of [
    'bin/qcow2c.js',
    'bin/start.js',
    'bin/package.json',
    'dist/cli.cjs',
    'dist/index.js',
    'dist/index.cjs',
    'dist/worker.cjs',
    'dist/index.d.ts',
  ]) {
    expect(paths).toContain(wanted);
  }
  for (const wanted of ['package.json', 'README.md', 'LICENSE', 'docs/qcow2c.1'])
    expect(paths).toContain(wanted);
  expect(paths.filter((path) => /^(src|test|fixtures|bench|\.ci)\//.test(path))).toEqual([]);
  expect(paths.filter((path) => path.endsWith('.d.ts'))).toEqual(['dist/index.d.ts']);
  expect(paths.filter((path) => path.endsWith('.map'))).toEqual([]);
});

test('publint finds nothing wrong with the package', async () => {
  const { messages } = await publint({ pkgDir: ROOT, strict: true });
  expect(messages).toEqual([]);
});

test('the manual page that npm installs is the one that the program prints', async () => {
  const { man } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { man: string[] };
  expect(man).toHaveLength(1);
  expect(await cliOk(['man'])).toBe(await readFile(join(ROOT, man[0]!), 'utf8'));
});
