/** Files that cannot be read or written: one line with the file and the system's reason, and no leftovers. */
import { chmodSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { run } from '../oracle/run.js';
import { shortened } from '../stage.js';
import { cli, cliOk, injecting, ONE_THREAD, UNPRIVILEGED } from './cli.js';
import { expectFailure, snapshot } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const raw = path('disk.raw');
const old = path('old.qcow2');
beforeAll(() => {
  // One work item, which needs no thread: most runs here are processes.
  writeFileSync(raw, Buffer.concat([textBytes(500_000), randomBytes(1_300_000)]));
  writeFileSync(old, 'what was there before');
  writeFileSync(path('text.raw'), textBytes(100_000));
  writeFileSync(path('secret.raw'), textBytes(1000));
  chmodSync(path('secret.raw'), 0o000);
});
const fails = (args: string[], line: RegExp, under?: readonly string[]) => {
  const options = under === undefined ? {} : { under, env: ONE_THREAD };
  return expectFailure(path(''), ['convert', '-c', '-O', 'qcow2', ...args], line, options);
};

/** A write to `target` that fails is one line with its place. @param advice what follows the place, for a pattern */
async function failsToWrite(target: string, fault: string, advice: string, reason: RegExp): Promise<void> {
  const line = new RegExp(
    `^Could not write \\d+ bytes to '${target}' at offset \\d+${advice}${reason.source}`,
    reason.flags,
  );
  await fails([raw, target], line, injecting('pwrite64,pwritev', `error=${fault}`));
}

const NO_SPACE = /: No space left on device$/i;

describe.each([
  ['a new target', path('new.qcow2')],
  ['an existing target', old],
])('with %s', (_, target) => {
  test('a source that does not exist', async () => {
    await fails([path('none.raw'), target], /'.*none\.raw': No such file or directory/);
    await fails([raw, path('none.raw'), target], /'.*none\.raw': No such file or directory/);
  });

  test('a directory and a character device as source', async () => {
    await fails([path(''), target], /is a directory|Is a directory|a directory/);
    await fails(['/dev/null', target], /'\/dev\/null'/);
  });
});

test('with a new target, no space', () => failsToWrite(path('new.qcow2'), 'ENOSPC:when=1', '', NO_SPACE));

// The sweep in test/faults fails every call in these and other ways, for new targets too.
describe('with an existing target', () => {
  const target = old;

  test('a source that may not be read', async () => {
    await fails([path('secret.raw'), target], /'.*secret\.raw': Permission denied/, UNPRIVILEGED);
  });

  test('a source that a read fails on', async () => {
    const line = /'.*disk\.raw' at offset \d+: (I\/O|Input\/output) error/;
    const under = injecting('pread64,preadv', 'error=EIO:when=1', ['-P', raw]);
    await fails(['-m', '1', '-f', 'raw', raw, target], line, under);
  });

  test.each(
    shortened(
      [
        ['no space for a later write', 'ENOSPC:when=2+', NO_SPACE],
        ['a full quota, met by the first write', 'EDQUOT:when=1', /: Disk quota exceeded$/i],
        ['a broken disk, met by a later write', 'EIO:when=3', /: (I\/O|Input\/output) error$/],
      ] as const,
      2,
    ),
  )('%s', async (_name, fault, reason) => {
    const advice = fault.startsWith('EIO')
      ? ''
      : ' \\(the old file takes its space until the new one is complete; with -n it is written in place\\)';
    await failsToWrite(target, fault, advice, reason);
  });

  test.each([
    ['sync', 'fdatasync', /^Could not sync '<target>': (I\/O|Input\/output) error$/],
    [
      'set the length',
      'ftruncate',
      /^Could not set the length of '<target>' to \d+: (I\/O|Input\/output) error$/,
    ],
    ['rename', 'rename', /^Could not rename the finished image to '<target>': (I\/O|Input\/output) error$/],
  ])('a system that cannot %s', async (_name, calls, line) => {
    const words = new RegExp(line.source.replace('<target>', target));
    // The image of compressed clusters alone ends inside a page, so that its length is set.
    await fails([path('text.raw'), target], words, injecting(calls, 'error=EIO'));
  });

  test('a limit on the size of files', async () => {
    // The first is no multiple of a page: a direct write cannot end there.
    for (const limit of shortened([500_000, 409_600], 1)) {
      await fails([raw, target], new RegExp(`'${target}'.*File too large`, 'i'), [
        'prlimit',
        `--fsize=${limit}`,
        '--',
      ]);
    }
  });
});

describe('targets', () => {
  test('in a directory that does not exist', async () => {
    await fails([raw, path('none', 'a.qcow2')], /'.*none\/a\.qcow2': No such file or directory/);
    await fails([raw, path('disk.raw', 'a.qcow2')], /'.*disk\.raw\/a\.qcow2': Not a directory/);
  });

  test('that are directories or character devices', async () => {
    mkdirSync(path('directory'));
    await fails([raw, path('directory')], /'.*directory': Is a directory/);
    await fails(['-O', 'qcow2', raw, '/dev/full'], /'\/dev\/full'/);
  });

  test('in a directory that may not be written to', async () => {
    mkdirSync(path('closed'));
    writeFileSync(path('closed', 'old.qcow2'), 'old');
    chmodSync(path('closed'), 0o555);
    await fails(
      [raw, path('closed', 'new.qcow2')],
      /'.*closed\/new\.qcow2': Permission denied/,
      UNPRIVILEGED,
    );
    await fails(
      [raw, path('closed', 'old.qcow2')],
      /'.*closed\/old\.qcow2', which can be written to but not replaced .* -n .*: Permission denied/,
      UNPRIVILEGED,
    );
    chmodSync(path('closed'), 0o755);
  });

  test('that may not be written to', async () => {
    writeFileSync(path('locked.qcow2'), 'old');
    chmodSync(path('locked.qcow2'), 0o444);
    await fails([raw, path('locked.qcow2')], /'.*locked\.qcow2': Permission denied/, UNPRIVILEGED);
  });

  test('that are the source itself, by its name, another name or a link', async () => {
    linkSync(raw, path('hard.raw'));
    symlinkSync(raw, path('soft.raw'));
    for (const target of [raw, path('.', '', 'disk.raw'), path('hard.raw'), path('soft.raw')]) {
      await fails([raw, target], /same file/i);
      await fails([old, raw, target], /same file/i);
    }
    await expectFailure(path(''), ['convert', '-c', '-n', raw, path('hard.raw')], /same file/i);
  });

  test('on a file system that is too small', async () => {
    const mount = 'mount -t tmpfs -o size=1m none "$0"';
    const able = await run('unshare', ['-m', 'sh', '-c', mount, path('')]);
    // Without the right to mount, the injected ENOSPC above is the proof.
    if (able.status !== 0) return console.warn(`No tmpfs can be mounted: ${able.stderr.trim()}`);
    mkdirSync(path('small'));
    const inside = `${mount} && "$@"; status=$?; ls -A "$0"; exit $status`;
    const outcome = await cli(['convert', '-c', raw, path('small', 'a.qcow2')], {
      under: ['unshare', '-m', 'sh', '-c', inside, path('small')],
    });
    expect(outcome).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringMatching(/^qcow2c: .*'.*small\/a\.qcow2'.*No space left on device\n$/i),
    });
  });

  test('that are new get the permissions that the umask leaves', async () => {
    await cliOk(['convert', '-c', raw, path('private.qcow2')], {
      under: ['sh', '-c', 'umask 077; exec "$0" "$@"'],
    });
    expect((await run('stat', ['-c', '%a', path('private.qcow2')])).stdout).toBe('600\n');
  });

  test('with the longest possible name work', async () => {
    const long = path(`${'n'.repeat(249)}.qcow2`);
    await cliOk(['convert', '-c', raw, long]);
    await expectGoodImage(long, raw);
  });

  test('that exist are replaced as a whole, keep their permissions, and a link to one stays a link', async () => {
    writeFileSync(path('kept.qcow2'), 'old');
    chmodSync(path('kept.qcow2'), 0o640);
    symlinkSync('kept.qcow2', path('link.qcow2'));
    const names = snapshot(path('')).length;
    await cliOk(['convert', '-c', '-O', 'qcow2', raw, path('link.qcow2')]);
    await expectGoodImage(path('kept.qcow2'), raw);
    const { stdout } = await run('stat', ['-c', '%F %a', path('link.qcow2'), path('kept.qcow2')]);
    expect(stdout).toBe('symbolic link 777\nregular file 640\n');
    expect(snapshot(path(''))).toHaveLength(names);
  });
});
