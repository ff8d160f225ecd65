/** The same sources make the same packages, in another directory, at another time, for another user. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../e2e/cli.js';
import { useScratch } from '../e2e/scratch.js';
import { runOk } from '../oracle/run.js';
import { CHECKSUMS, MATERIALS } from './built-packages.js';

const path = useScratch();
const copy = path('copy');

/** The digest of each file below a directory. */
async function digestsOf(directory: string): Promise<Record<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  const digests = files.sort().map(async (file) => {
    const digest = createHash('sha256').update(await readFile(file));
    return [file.slice(directory.length), digest.digest('hex')] as const;
  });
  return Object.fromEntries(await Promise.all(digests));
}

test('a build of a copy has the same bytes', async () => {
  const date = (await runOk('git', ['log', '-1', '--format=%ct'], { cwd: ROOT })).trim();
  await mkdir(copy);
  // The tracked files with their present content.
  await runOk('sh', ['-c', `git ls-files -z | xargs -0 cp --parents -t "$0"`, copy], { cwd: ROOT });
  await runOk('cp', ['-a', '--reflink=auto', join(ROOT, 'node_modules'), copy]);
  const env = { SOURCE_DATE_EPOCH: date, TZ: 'Pacific/Kiritimati', HOME: copy, LC_ALL: 'C.UTF-8' };
  await runOk('sh', ['-c', 'umask 077; npm run package'], { cwd: copy, env });
  const first = await digestsOf(dirname(CHECKSUMS));
  expect(Object.keys(first).length).toBeGreaterThan(8);
  expect(await digestsOf(join(copy, 'packages'))).toEqual(first);
});

test('SHA256SUMS holds for every package', async () => {
  await runOk('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: dirname(CHECKSUMS) });
});

test('the SBOM lists the packages that the program uses, and none that build or test it', async () => {
  const { bomFormat, components, metadata } = JSON.parse(await readFile(MATERIALS, 'utf8')) as {
    bomFormat: string;
    components: { name: string }[];
    metadata: { component: { name: string } };
  };
  expect([bomFormat, metadata.component.name]).toEqual(['CycloneDX', 'qcow2c']);
  const names = components.map(({ name }) => name).filter((name) => !name.startsWith('@koromix/'));
  expect(names.sort()).toEqual([
    'ansi-regex',
    'cli-progress',
    'commander',
    'emoji-regex',
    'fs-ext',
    'is-fullwidth-code-point',
    'koffi',
    'nan',
    'string-width',
    'strip-ansi',
  ]);
});
