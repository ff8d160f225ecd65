/**
 * Targets that can be written to but not replaced, and directories in which no file may be made: refused before any
 * work, with the reason and advice.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { openTarget } from '../../src/storage/open-target.js';
import { mountsIn, readMounts } from '../../src/system/mounts.js';
import { run } from '../oracle/run.js';
import { cli } from './cli.js';
import { snapshot } from './failures.js';
import { useScratch } from './scratch.js';

const scratch = useScratch();
let directory = '';
let path = '';
beforeEach(({ task }) => {
  directory = scratch(task.id);
  fs.mkdirSync(directory);
  path = `${directory}/image.qcow2`;
});

const IN_PLACE = '(with -n it is written in place)';

/** Expects that a conversion is refused before the source is read and a file is made, inside of mounts that it makes. */
async function refusedBehind(mounts: string, target: string, message: string): Promise<void> {
  const source = `${directory}/source.raw`;
  fs.writeFileSync(source, 'a disk');
  // Other processes do not see these mounts.
  const under = ['unshare', '-m', 'sh', '-c', `${mounts} && exec "$@"`, 'sh'];
  const { status, stdout, stderr } = await cli(['convert', '-c', '-O', 'qcow2', source, target], { under });
  expect({ status, stdout, stderr }).toEqual({ status: 1, stdout: '', stderr: `qcow2c: ${message}\n` });
}

const { stderr: unable } = await run('unshare', ['-m', 'mount', '-t', 'devtmpfs', 'none', '/mnt']);

describe(
  unable === '' ? 'mounts' : `mounts (cannot be made here, nothing is tried: ${unable.trim()})`,
  () => {
    test.runIf(unable === '')(
      'a file that is a mount point, also through a link and with any name',
      async () => {
        path = `${directory}/a \\ file`;
        for (const name of [path, `${directory}/other`]) fs.writeFileSync(name, '');
        fs.symlinkSync(path, `${directory}/link`);
        for (const target of [path, `${directory}/link`]) {
          const message =
            `Cannot replace '${target}', which is a mount point, such as a file that is bound into a container ${IN_PLACE}: ` +
            'Resource busy or locked';
          await refusedBehind(`mount --bind '${directory}/other' '${path}'`, target, message);
        }
        expect(fs.readdirSync(directory).sort()).toEqual(['a \\ file', 'link', 'other', 'source.raw']);
      },
    );

    test.runIf(unable === '')('a file on a devtmpfs, for any mount point', async () => {
      fs.mkdirSync(`${directory}/devices`);
      const target = `${directory}/devices/nosuch`;
      const message =
        `Could not create '${target}': there is no such device, and a file in a directory of devices would exist in memory ` +
        'only (check the name, and whether the volume is active)';
      await refusedBehind(`mount -t devtmpfs none '${directory}/devices'`, target, message);
      expect(fs.existsSync('/dev/nosuch')).toBe(false);
    });
  },
);

test.each(['/dev/nosuch', 'link', 'relative'])('a new file below /dev is refused: %s', async (name) => {
  let target = name;
  if (name === 'link') {
    fs.symlinkSync('/dev/nosuch', path);
    target = path;
  }
  if (name === 'relative') target = `${directory}/../../../../../../../../dev/nosuch`;
  await expect(openTarget(target, 'none', false)).rejects.toMatchObject({
    code: 'ERR_USAGE',
    file: target,
    message: expect.stringContaining('there is no such device'),
  });
  expect(fs.existsSync('/dev/nosuch')).toBe(false);
});

test('a file in /dev/shm is made', async () => {
  const target = `/dev/shm/qcow2c-test-${process.pid}`;
  await (await openTarget(target, 'none', false)).commit(0);
  fs.rmSync(target);
});

/** Whether this process may set a flag of chattr(1) here. */
function canFlag(): boolean {
  const file = scratch('flagged');
  fs.writeFileSync(file, '');
  try {
    for (const flag of ['+i', '-i', '+a', '-a']) execFileSync('chattr', [flag, file], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const flags = canFlag();
describe(flags ? 'flags' : 'flags (cannot be set here, nothing is tried)', () => {
  test.runIf(flags).each([
    ['i', 'immutable'],
    ['a', 'append-only'],
  ])('a file with chattr +%s is named as %s, in place too', async (flag, word) => {
    fs.writeFileSync(path, '');
    execFileSync('chattr', [`+${flag}`, path]);
    try {
      const before = snapshot(directory);
      for (const inPlace of [false, true]) {
        await expect(openTarget(path, 'none', inPlace)).rejects.toMatchObject({
          code: 'ERR_IO',
          systemCode: 'EPERM',
          file: path,
          message: `Could not open '${path}', which is ${word} ('chattr -${flag}' removes the flag): Operation not permitted`,
        });
      }
      expect(snapshot(directory)).toEqual(before);
    } finally {
      execFileSync('chattr', [`-${flag}`, path]);
    }
  });

  test.runIf(flags).each([
    ['i', 'immutable'],
    ['a', 'append-only'],
  ])('a file in a directory with chattr +%s', async (flag, word) => {
    fs.writeFileSync(path, '');
    execFileSync('chattr', [`+${flag}`, directory]);
    try {
      await expect(openTarget(path, 'none', false)).rejects.toMatchObject({
        code: 'ERR_IO',
        systemCode: 'EPERM',
        file: path,
        message: `Cannot replace '${path}', whose directory is ${word} (chattr) ${IN_PLACE}: Operation not permitted`,
      });
      await (await openTarget(path, 'none', true)).commit(0);
    } finally {
      execFileSync('chattr', [`-${flag}`, directory]);
    }
    expect(fs.readdirSync(directory)).toEqual(['image.qcow2']);
  });
});

test('mounts are read as the system writes them', () => {
  const text =
    '36 35 98:0 /mnt1 /mnt\\0402\\134x rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n' +
    'nonsense\n37 35 0:5 / /dev rw shared:2 propagate_from:3 - devtmpfs none rw\n38 35 0:6 / /x rw\n';
  expect(mountsIn(text)).toEqual([
    { device: '98:0', root: '/mnt1', point: '/mnt 2\\x', type: 'ext3', options: ['rw', 'errors=continue'] },
    { device: '0:5', root: '/', point: '/dev', type: 'devtmpfs', options: ['rw'] },
  ]);
  expect(readMounts().map(({ point }) => point)).toContain('/');
});
