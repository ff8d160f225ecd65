/** The program around its commands: outputs, exit code, error lines, loaded modules. */
import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { cli, spawnCli, startCli } from '../e2e/cli.js';
import { useScratch } from '../e2e/scratch.js';

const scratch = useScratch();

describe('failures', () => {
  test.each([
    [[], /^qcow2c: Not enough arguments/],
    [['look', 'x'], /^qcow2c: unknown command 'look'/],
    [['convert', '--two\nlines', 'a', 'b'], /^qcow2c: unknown option '--two lines'/],
    [['convert', '-o', 'a\x1b=1', 'a', 'b'], /^qcow2c: Invalid parameter 'a\\x1b' \(.*\)\n$/],
    [
      ['convert', '-c', 'no\nsuch', 'b'],
      /^qcow2c: Could not open 'no\\x0asuch': No such file or directory\n$/,
    ],
  ])('%j is one line on standard error and exit code 1', async (words, line) => {
    const outcome = await cli(words, { cwd: scratch() });
    expect(outcome).toMatchObject({ status: 1, stdout: '' });
    expect(outcome.stderr).toMatch(line);
    expect(outcome.stderr).toMatch(/^[^\n]*\n$/);
  });

  test('--debug and QCOW2C_DEBUG=1 show the stack', async () => {
    const failing = ['convert', '-c', scratch('missing'), scratch('out')];
    const quiet = await cli(failing);
    const debug = [await cli([...failing, '--debug']), await cli(failing, { env: { QCOW2C_DEBUG: '1' } })];
    for (const { status, stderr } of debug) {
      expect(status).toBe(1);
      expect(stderr.startsWith(quiet.stderr)).toBe(true);
      expect(stderr).toMatch(/\n {4}at .*\n/);
      expect(stderr).toContain('ENOENT');
    }
  });
});

describe('as a separate program and in the process of the tests,', () => {
  const commands = [
    ['convert', '-c', '-p', '-f', 'raw', 'disk.raw', 'image.qcow2'],
    ['info', '--output=json', 'image.qcow2'],
    ['check', '--data', 'image.qcow2'],
    ['compare', '-f', 'raw', 'disk.raw', 'missing'],
    ['map', '--output=json', 'image.qcow2'],
    ['measure', '-c', '-f', 'raw', 'disk.raw'],
    ['man'],
    ['convert', '-c', 'missing', 'no.qcow2'],
  ];
  // One work item, which needs no thread.
  beforeAll(() => writeFileSync(scratch('disk.raw'), 'the words of a guest '.repeat(50_000)));

  test.each(commands.map((words) => [words.join(' '), words]))(
    '%s prints the same and has the same exit code',
    async (_, words) => {
      const here = await cli(words as string[], { cwd: scratch() });
      expect(await spawnCli(words as string[], { cwd: scratch() })).toEqual(here);
    },
  );
});

test('help without a reader is not a failure', async () => {
  const running = startCli(['convert', '--help']);
  running.child.stdout!.destroy();
  expect(await running.finished).toMatchObject({ status: 0, stderr: '' });
});

test('an error on the command line and a requested text are printed before the conversion is loaded', async () => {
  for (const words of [['--help'], ['convert', '-o', 'help'], ['convert', '-m', '0', 'a', 'b']]) {
    const { stderr } = await cli(words, { under: ['strace', '-f', '--seccomp-bpf', '-e', 'trace=openat'] });
    expect(stderr).toMatch(/dist\/cli\.cjs/);
    expect(stderr).not.toMatch(/dist\/convert|piscina|koffi|cli-progress/);
  }
});
