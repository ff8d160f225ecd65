/**
 * The .deb: Debian's own checker, its fields, and its content, laid out in a directory. `npm run test:debian` installs
 * it in a Debian system.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { beforeAll, expect, test } from 'vitest';
import { cliOk } from '../e2e/cli.js';
import { useScratch } from '../e2e/scratch.js';
import { makeMixedDisk } from '../e2e/source-images.js';
import { run, runOk } from '../oracle/run.js';
import { DEBIAN_PACKAGE, expectWorkingProgram } from './built-packages.js';

const path = useScratch();
const root = path('root');
beforeAll(async () => {
  await mkdir(root);
  await runOk('dpkg-deb', ['--extract', DEBIAN_PACKAGE, root]);
});

test('lintian has no errors and no warnings', async () => {
  const { stdout, status } = await run('lintian', ['--no-cfg', '--fail-on', 'error,warning', DEBIAN_PACKAGE]);
  expect([stdout, status]).toEqual(['', 0]);
});

test('it depends on a Node.js that is new enough, and recommends the libraries', async () => {
  const field = async (name: string) => (await runOk('dpkg-deb', ['--field', DEBIAN_PACKAGE, name])).trim();
  expect(await field('Depends')).toMatch(/^nodejs \(>= 20\.19\), /);
  expect((await field('Recommends')).split(', ')).toEqual(['libdeflate0', 'libisal2', 'libzstd1', 'libnbd0']);
  expect(await field('Architecture')).toBe((await runOk('dpkg', ['--print-architecture'])).trim());
});

test('its files belong to root, and no other user can write to them', async () => {
  const listing = (await runOk('dpkg-deb', ['--contents', DEBIAN_PACKAGE])).trim().split('\n');
  expect(listing.length).toBeGreaterThan(20);
  for (const line of listing)
    expect(line).toMatch(/^(-rw-r--r--|-rwxr-xr-x|drwxr-xr-x|lrwxrwxrwx) root\/root /);
});

test('the program works from its place', async () => {
  await makeMixedDisk(path('disk.raw'));
  await expectWorkingProgram([path('root/usr/bin/qcow2c')], { here: path(), there: path() });
});

test('manual page and completions are what the program prints, in the places of man and the shells', async () => {
  const page = await readFile(path('root/usr/share/man/man1/qcow2c.1.gz'));
  // Neither a name nor a date: RFC 1952, section 2.3.
  expect(page.subarray(3, 8)).toEqual(Buffer.alloc(5));
  expect(gunzipSync(page).toString()).toBe(await cliOk(['man']));
  for (const [shell, place] of [
    ['bash', 'bash-completion/completions/qcow2c'],
    ['zsh', 'zsh/vendor-completions/_qcow2c'],
    ['fish', 'fish/vendor_completions.d/qcow2c.fish'],
  ] as const) {
    const text = await readFile(path('root/usr/share', place), 'utf8');
    expect(text).toBe(await cliOk(['completion', shell]));
  }
});

test('the licence of each package in it is there', async () => {
  const text = await readFile(path('root/usr/share/doc/qcow2c/copyright'), 'utf8');
  const packages = (
    await runOk('sh', ['-c', 'ls -d * @koromix/*'], { cwd: path('root/usr/lib/qcow2c/node_modules') })
  )
    .trim()
    .split('\n')
    .filter((name) => !name.startsWith('@koromix'));
  expect(packages).toContain('koffi');
  // commander is built in.
  expect(text).toContain('Files: usr/lib/qcow2c/dist/cli.cjs\nCopyright: 2011 TJ Holowaychuk');
  for (const name of packages)
    expect(text).toContain(`Files: usr/lib/qcow2c/node_modules/${name}/*\nCopyright: `);
  expect(text).toContain('Files: *\nCopyright: 2026 The qcow2c authors\n');
});
