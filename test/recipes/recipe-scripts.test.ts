/** The scripts of the recipes run, with stand-ins for what this machine lacks: volumes, Slurm, and another day. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cliOk, ROOT } from '../e2e/cli.js';
import { useScratch } from '../e2e/scratch.js';
import { textBytes } from '../e2e/source-images.js';
import { type Outcome, run } from '../oracle/run.js';
import { RECIPES } from './recipe-text.js';

const path = useScratch();
const bin = path('bin');

/** Puts a program first in the scripts' PATH. */
const standIn = (name: string, lines: string) =>
  writeFile(join(bin, name), `#!/bin/sh\n${lines}\n`, { mode: 0o755 });

beforeAll(async () => {
  await mkdir(bin);
  await symlink(join(ROOT, 'bin', 'qcow2c.js'), join(bin, 'qcow2c'));
});

/** Runs a script of the recipes. */
function script(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd = path(),
): Promise<Outcome> {
  const search = `${bin}:${process.env['PATH']}`;
  return run(join(RECIPES, name), args, { cwd, env: { PATH: search, ...env } });
}

const succeeded: Outcome = { status: 0, signal: null, stdout: '', stderr: '' };
const MIB = 2 ** 20;

describe('the nightly backup', () => {
  const directory = path('backup');
  const log = path('lvm.log');
  const calls = () =>
    readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]);
  // The script looks below /dev.
  const env = { VG: `../${path('vg')}`, DIRECTORY: directory, KEEP: '2' };

  beforeAll(async () => {
    await mkdir(directory);
    await mkdir(path('vg'));
    await writeFile(path('vg', 'disk1'), textBytes(MIB));
    await standIn(
      'lvcreate',
      `echo "create $*" >>${log}; cp ${path('vg')}/disk1 ${path('vg')}/disk1-nightly`,
    );
    await standIn('lvremove', `echo "remove $*" >>${log}; rm ${path('vg')}/disk1-nightly`);
  });
  beforeEach(() => writeFile(log, ''));
  const night = (day: string) => standIn('date', `echo ${day}`);

  test('keeps the newest copies of one volume, and removes its snapshot', async () => {
    await writeFile(join(directory, 'disk10-2026-01-01.qcow2'), 'of another volume');
    for (const name of ['disk1-2026-11-27.qcow2', 'disk1-2026-11-27.qcow2.digest'])
      await writeFile(join(directory, name), 'of an earlier night');
    for (const day of ['2026-11-28', '2026-11-29']) {
      await night(day);
      expect(await script('nightly/qcow2c-nightly', ['disk1'], env)).toEqual(succeeded);
    }
    expect((await readdir(directory)).sort()).toEqual([
      'disk1-2026-11-28.qcow2',
      'disk1-2026-11-28.qcow2.digest',
      'disk1-2026-11-29.qcow2',
      'disk1-2026-11-29.qcow2.digest',
      'disk10-2026-01-01.qcow2',
    ]);
    expect(calls()).toEqual(['create', 'remove', 'create', 'remove']);
    const newest = join(directory, 'disk1-2026-11-29.qcow2');
    await cliOk(['compare', '-f', 'raw', path('vg', 'disk1'), newest]);
    expect(await cliOk(['checksum', '--check', `${newest}.digest`])).toBe(`${newest}: OK\n`);
  });

  test('that fails has an exit code, keeps every copy, and removes its snapshot', async () => {
    await night('2026-11-30');
    const before = await readdir(directory);
    const { status, stderr } = await script('nightly/qcow2c-nightly', ['disk1'], { ...env, MEMORY: '1K' });
    expect([status, stderr]).toEqual([1, expect.stringMatching(/^qcow2c: .*memory/i)]);
    expect(await readdir(directory)).toEqual(before);
    expect(calls()).toEqual(['create', 'remove']);
    expect(existsSync(path('vg', 'disk1-nightly'))).toBe(false);
  });

  test('that systemd stops removes its snapshot, and no copy', async () => {
    const before = await readdir(directory);
    const stopped = path('stopped');
    await mkdir(stopped);
    // systemd signals both; qcow2c then ends with this code.
    await writeFile(join(stopped, 'qcow2c'), '#!/bin/sh\nkill -TERM $PPID; exit 143\n', { mode: 0o755 });
    const search = `${stopped}:${bin}:${process.env['PATH']}`;
    const outcome = await script('nightly/qcow2c-nightly', ['disk1'], { ...env, KEEP: '1', PATH: search });
    expect(outcome).toEqual({ ...succeeded, status: 143 });
    expect(await readdir(directory)).toEqual(before);
    expect(calls()).toEqual(['create', 'remove']);
  });
});

describe('the incremental backup', () => {
  const directory = path('week');
  const disk = path('disk.raw');
  const content = textBytes(2 * MIB);
  /** Day of the week, by the date: 7 is Sunday. */
  const days = [
    ['2026-11-27', 5],
    ['2026-11-28', 6],
    ['2026-11-29', 7],
  ] as const;
  const backup = () => script('incremental/qcow2c-incremental', [disk, directory]);

  test('stores the whole disk at first and on Sundays, otherwise only changes; each day can be restored', async () => {
    await mkdir(directory);
    for (const [index, [date, weekday]] of days.entries()) {
      content.fill(`day ${index}`, index * 131_072, index * 131_072 + 4096);
      await writeFile(disk, content);
      await writeFile(path(`${date}.raw`), content);
      await standIn('date', `case $1 in +%u) echo ${weekday} ;; *) echo ${date} ;; esac`);
      expect(await backup()).toEqual(succeeded);
    }
    const backing = await Promise.all(
      days.map(async ([date]) => {
        const text = await cliOk(['info', '--output=json', join(directory, `disk-${date}.qcow2`)]);
        return (JSON.parse(text) as { 'backing-filename'?: string })['backing-filename'];
      }),
    );
    expect(backing).toEqual([undefined, 'disk-2026-11-27.qcow2', undefined]);
    for (const [date] of days) {
      const image = join(directory, `disk-${date}.qcow2`);
      await cliOk(['convert', '-f', 'qcow2', '-O', 'raw', image, path('restored.raw')]);
      expect(readFileSync(path('restored.raw')).equals(readFileSync(path(`${date}.raw`)))).toBe(true);
    }
  });

  test('never replaces a backup that others may need', async () => {
    const { status, stderr } = await backup();
    expect([status, stderr]).toEqual([1, expect.stringContaining('disk-2026-11-29.qcow2 exists')]);
  });
});

describe('many images with GNU parallel', () => {
  const directory = path('many');
  const all = () => script('many/convert-all', [directory]);
  const images = async () => (await readdir(directory)).filter((name) => name.endsWith('.qcow2')).sort();

  test('are compressed, and one that fails is named and does not stop the others', async () => {
    await mkdir(join(directory, 'c.qcow2'), { recursive: true });
    for (const name of ['a', "b it's", 'c']) await writeFile(join(directory, `${name}.raw`), textBytes(MIB));
    const { status, stderr } = await all();
    expect(status).toBe(1);
    expect(stderr).toMatch(/^qcow2c: .*c\.qcow2/m);
    const failed = stderr.slice(stderr.indexOf('Failed (')).trim().split('\n').slice(1);
    expect(failed).toEqual([expect.stringMatching(/^1\t0\tqcow2c convert .*c\.qcow2$/)]);
    expect(await images()).toEqual(['a.qcow2', "b it's.qcow2", 'c.qcow2']);
  });

  test('a second run converts only the images that failed', async () => {
    await run('rmdir', [join(directory, 'c.qcow2')]);
    await run('rm', [join(directory, 'a.qcow2')]);
    expect(await all()).toEqual(succeeded);
    expect(await images()).toEqual(["b it's.qcow2", 'c.qcow2']);
  });
});

describe('a task of the Slurm array', () => {
  const log = path('slurm.log');
  const task = (id: string, cwd: string) => {
    const env = { SLURM_ARRAY_TASK_ID: id, SLURM_ARRAY_JOB_ID: '17', SLURM_CPUS_PER_TASK: '2' };
    return run('bash', [join(RECIPES, 'many/array.sbatch')], {
      cwd,
      env: { PATH: `${bin}:${process.env['PATH']}`, ...env },
    });
  };
  const cwd = path('array');
  beforeAll(async () => {
    await mkdir(cwd);
    await writeFile(join(cwd, 'disks.txt'), 'one.raw\ntwo disk.raw\nnone.raw\n');
    for (const name of ['one', 'two disk']) await writeFile(join(cwd, `${name}.raw`), textBytes(MIB));
    await standIn('scontrol', `echo "$*" >>${log}`);
    await writeFile(log, '');
  });

  test('compresses the disk on its line', async () => {
    await standIn('srun', 'exec "$@"');
    expect(await task('2', cwd)).toEqual(succeeded);
    await cliOk(['compare', '-f', 'raw', join(cwd, 'two disk.raw'), join(cwd, 'two disk.qcow2')]);
  });

  test('fails with the code of qcow2c, and without a line', async () => {
    expect(await task('3', cwd)).toMatchObject({ status: 1, stderr: expect.stringContaining("'none.raw'") });
    expect(await task('9', cwd)).toMatchObject({ status: 1, stderr: 'disks.txt has no line 9\n' });
    expect(readFileSync(log, 'utf8')).toBe('');
  });

  test('that the time limit ends is queued again', async () => {
    await standIn('srun', 'exit 143');
    expect((await task('1', cwd)).status).toBe(143);
    expect(readFileSync(log, 'utf8')).toBe('requeue 17_1\n');
  });
});
