/**
 * Fails the first, the second, the third and every further operation on the target, one run each, and some of every
 * other kind. The sweep in test/faults does the same for the library; this test uses the program.
 */
import { writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { longTest, sample, TESTS_ALL } from '../stage.js';
import { cli, cliOk, injecting, ONE_THREAD } from './cli.js';
import { expectFailure, snapshot } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeSparseDisk, randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const raw = path('disk.raw');
const target = path('old.qcow2');
beforeAll(() =>
  makeSparseDisk(raw, 40_000_000, [
    [0, textBytes(1_000_000)],
    [10_000_000, randomBytes(1_000_000)],
    [39_000_000, textBytes(1_000_000)],
  ]),
);

longTest(
  'whichever operation on the target fails, the run fails in one line and the old target stays',
  async () => {
    const args = [
      'convert',
      '-c',
      '-O',
      'qcow2',
      '-o',
      `cluster_size=${TESTS_ALL ? '32k' : '2M'}`,
      raw,
      target,
    ];
    await writeFile(target, 'what was there before');
    const before = snapshot(path(''));
    let failures = 0;
    for (let when = 1; ; when += TESTS_ALL ? 1 : 3) {
      const under = injecting('pwrite64,pwritev,fdatasync,ftruncate,rename', `error=EIO:when=${when}`);
      const { status, stdout, stderr } = await cli(args, { under, env: ONE_THREAD });
      if (status === 0) break;
      failures += 1;
      expect([when, status, stdout, stderr]).toEqual([
        when,
        1,
        '',
        expect.stringMatching(new RegExp(`^qcow2c: Could not [^\n]*'${target}'[^\n]*\n$`)),
      ]);
      expect(snapshot(path(''))).toEqual(before);
    }
    // At least data, sync, tables, sync, length and name are operations of every run; how many writes are merged is
    // a matter of time.
    expect(failures).toBeGreaterThanOrEqual(TESTS_ALL ? 6 : 2);
    await expectGoodImage(target, raw);
  },
);

describe('one line and exit code 1 through the program, when', () => {
  const [image, middle, top] = [path('image.qcow2'), path('middle.qcow2'), path('top.qcow2')];
  const temporary = path('.old.qcow2.qcow2c.tmp');
  beforeAll(async () => {
    await writeFile(target, 'what was there before');
    await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-c', raw, image]);
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', middle]);
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', middle, '-F', 'qcow2', top]);
  });
  const io = 'Input/output error';
  const read = (file: string) => `Could not read '${file}' at offset \\d+`;

  test.each(
    sample(
      [
        [
          'a raw disk cannot be read',
          ['-f', 'raw', raw],
          'pread64',
          raw,
          'EIO:when=2',
          `${read(raw)}: ${io}`,
        ],
        [
          "an image's tables cannot be read",
          [image],
          'pread64',
          image,
          'EIO:when=2',
          `${read(image)}: ${io}`,
        ],
        [
          "an image's clusters cannot be read",
          [image],
          'pread64',
          image,
          'EIO:when=9',
          `${read(image)}: ${io}`,
        ],
        [
          'the lowest disk of a chain cannot be read',
          [top],
          'pread64',
          raw,
          'EIO:when=1',
          `${read(raw)}: ${io}`,
        ],
        [
          'an image in the middle of a chain cannot be opened',
          [top],
          'openat',
          middle,
          'EMFILE:when=1',
          `Could not open '${top}': Could not open backing file: Could not open '${middle}': Too many open files`,
        ],
        [
          'standard input cannot be read',
          ['-'],
          'read',
          raw,
          'EIO:when=2',
          `${read('standard input')}: ${io}`,
        ],
        [
          'reads are put off for ever',
          ['-f', 'raw', raw],
          'pread64',
          raw,
          'EAGAIN:when=1+',
          `${read(raw)}: Resource temporarily unavailable`,
        ],
        [
          'the target cannot be closed',
          [image],
          'close',
          temporary,
          'ENOSPC',
          `Could not close '${target}': No space`,
        ],
        [
          'the target cannot be made',
          [image],
          'openat',
          temporary,
          'EDQUOT:when=1',
          `Could not create '${target}', which can be written to but not replaced \\(with -n it is written in place\\): Disk quota exceeded`,
        ],
        [
          'there is no room for a second file',
          [image],
          'fallocate',
          temporary,
          'EDQUOT',
          `Could not create '${target}', which can be written to but not replaced \\(with -n it is written in place\\): Disk quota exceeded`,
        ],
        [
          'the file cannot get the name of the old one',
          [image],
          'rename',
          temporary,
          'EXDEV',
          `Could not rename the finished image to '${target}', which can be written to but not replaced \\(with -n it is written in place\\): Cross-device link`,
        ],
        [
          'holes cannot be looked for',
          ['-f', 'raw', raw],
          'lseek',
          raw,
          'EIO',
          `Could not look for holes in '${raw}' at offset 0: ${io}`,
        ],
      ] as const,
      3,
    ),
  )('%s', async (_, words, call, file, error, line) => {
    const args = [
      'convert',
      '-c',
      '-O',
      'qcow2',
      '-m',
      '1',
      ...(words[0] === top ? ['-f', 'qcow2'] : []),
      ...words,
      target,
    ];
    const stdin = words[0] === '-' ? ['sh', '-c', `exec "$@" < '${raw}'`, 'sh'] : [];
    const under = [...stdin, ...injecting(call, `error=${error}`, ['-P', file])];
    await expectFailure(path(''), args, new RegExp(`^${line}`), { under, env: ONE_THREAD });
  });

  test('but not when a call was only interrupted', async () => {
    const files = ['-P', raw, '-P', path('.new.qcow2.qcow2c.tmp')];
    const under = injecting('pread64,pwrite64,pwritev,fdatasync', 'error=EINTR:when=1+3', files);
    await cliOk(['convert', '-c', '-f', 'raw', raw, path('new.qcow2')], { under, env: ONE_THREAD });
    await expectGoodImage(path('new.qcow2'), raw);
  });
});
