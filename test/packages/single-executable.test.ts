/** The single executable: alone in a root directory, beside hostile files, and in time. */
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { cliOk, ROOT } from '../e2e/cli.js';
import { useScratch } from '../e2e/scratch.js';
import { makeMixedDisk } from '../e2e/source-images.js';
import { run, runOk } from '../oracle/run.js';
import { EXECUTABLE, expectWorkingProgram, type Program } from './built-packages.js';
import { makeSystemRoot } from './system-root.js';

const path = useScratch();
const root = path('root');
const disk = path('root', 'disk.raw');
const usual = path('usual.qcow2');
beforeAll(async () => {
  await makeSystemRoot(root, { '/qcow2c': EXECUTABLE, '/bin/mount': '/bin/mount', '/bin/sh': '/bin/sh' });
  for (const name of ['proc', 'dev/shm', 'run', 'var/tmp'])
    await mkdir(join(root, name), { recursive: true });
  await makeMixedDisk(disk);
  await cliOk(['convert', '-c', '-f', 'raw', disk, usual]);
});

/** The executable in the root after shell commands there, which see their own mounts only. */
function inRoot(before: string): Program {
  return ['unshare', '--mount', 'chroot', root, '/bin/sh', '-c', `${before}; exec /qcow2c "$@"`, 'sh'];
}

/** Node.js looks for certificates of this machine. */
const env = { NODE_EXTRA_CA_CERTS: undefined, TMPDIR: undefined, HOME: undefined };

describe('in a root directory without Node.js', () => {
  test.each([
    ['with /proc', 'mount -t proc proc /proc'],
    ['without /proc', ':'],
    [
      'where files in /tmp cannot be executed',
      'mount -t proc proc /proc; mount -t tmpfs -o noexec tmpfs /tmp',
    ],
  ])('%s it makes the same image with threads, and leaves no file', async (_, before) => {
    for (const name of ['out.qcow2', 'nbd.qcow2']) await rm(join(root, name), { force: true });
    await expectWorkingProgram(inRoot(before), { here: root, there: '/' }, { env });
    expect((await readFile(join(root, 'out.qcow2'))).equals(await readFile(usual))).toBe(true);
    for (const directory of ['tmp', 'var/tmp', 'dev/shm'])
      expect(await readdir(join(root, directory))).toEqual([]);
  });

  test('where no file can be executed it warns once, and works', async () => {
    const mounts = ['/tmp', '/var/tmp', '/dev/shm'].map((name) => `mount -t tmpfs -o noexec tmpfs ${name}`);
    const [command, ...words] = inRoot(['mount -t proc proc /proc', ...mounts].join('; '));
    const args = ['convert', '-c', '-m', '2', '-f', 'raw', '/disk.raw', '/out.qcow2'];
    const { status, stderr } = await run(command, [...words, ...args], { env });
    const [warning, ...more] = stderr.split('\n').filter((line) => line.includes('TMPDIR'));
    expect([status, more]).toEqual([0, []]);
    expect(warning).toMatch(
      /^qcow2c: warning: No file could be loaded from \/tmp, \/var\/tmp, \/dev\/shm, .*; set TMPDIR to/,
    );
    await cliOk(['compare', '-f', 'raw', disk, join(root, 'out.qcow2')]);
  });

  test('it holds the manual page and the completions', async () => {
    const [command, ...words] = inRoot(':');
    const man = await runOk(command, [...words, 'man'], { env });
    expect(man).toBe(await readFile(join(ROOT, 'docs', 'qcow2c.1'), 'utf8'));
    expect(await runOk(command, [...words, 'completion', 'bash'], { env })).toContain('complete');
  });
});

test('it loads no module from the working directory or beside itself', async () => {
  const hostile = "require('node:fs').writeFileSync('loaded', ''); throw new Error('loaded')";
  for (const name of ['koffi', 'fs-ext', 'commander', 'cli-progress']) {
    await mkdir(path('here', 'node_modules', name), { recursive: true });
    await writeFile(path('here', 'node_modules', name, 'index.js'), hostile);
  }
  await cp(EXECUTABLE, path('here', 'qcow2c'));
  const options = { cwd: path('here') };
  expect(await runOk('./qcow2c', ['--version'], options)).toMatch(/^fs-ext +not found$/m);
  await runOk('./qcow2c', ['convert', '-c', '-p', '-m', '2', '-f', 'raw', disk, 'out.qcow2'], options);
  expect((await readdir(path('here'))).sort()).toEqual(['node_modules', 'out.qcow2', 'qcow2c']);
});

test('its errors and exit codes are those of the program', async () => {
  const words = ['compare', path('none'), path('none')];
  const outcome = await run(EXECUTABLE, words);
  expect(outcome.status).toBe(2);
  expect(outcome).toEqual(await run(join(ROOT, 'bin/qcow2c.js'), words));
});

/** @returns milliseconds of both processors */
async function timeOf(program: string): Promise<number> {
  const words = ['-c', 'TIMEFORMAT="%3U %3S"; time "$@" >/dev/null', 'bash', program, 'info', usual];
  const { stderr } = await run('bash', words);
  return stderr
    .trim()
    .split(' ')
    .reduce((sum, seconds) => sum + Number(seconds) * 1000, 0);
}

test('it starts about as fast as the program that npm installs', async () => {
  const times: { executable: number; npm: number }[] = [];
  for (let round = 0; round < 9; round += 1) {
    const npm = await timeOf(join(ROOT, 'bin/qcow2c.js'));
    times.push({ npm, executable: await timeOf(EXECUTABLE) });
  }
  const least = (name: 'executable' | 'npm') => Math.min(...times.map((time) => time[name]));
  expect(least('npm')).toBeGreaterThan(10);
  // Both take the same CPU time. A third more is the noise of a shared machine; without its compiled code it takes twice.
  expect(least('executable')).toBeLessThan((4 / 3) * least('npm'));
});
