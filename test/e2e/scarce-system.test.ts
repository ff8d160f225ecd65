/**
 * Every command on a system with few threads, few descriptors or an empty /dev: it works, or one line gives the reason.
 */
import { chmodSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { sample } from '../stage.js';
import { cli, cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';

const path = useScratch();
const [raw, image, target] = [path('disk.raw'), path('image.qcow2'), path('target.qcow2')];
const isRoot = process.geteuid?.() === 0;

beforeAll(async () => {
  // Work for more threads than there will be.
  writeFileSync(raw, Buffer.alloc(12 * 2 ** 20, 'a line of text\n'));
  await cliOk(['convert', '-c', '-f', 'raw', raw, image]);
});

/** A test that only root can set up; for other users its name says that it was not run. */
const asRoot = (name: string, run: () => Promise<void>) =>
  isRoot ? test(name, run) : test(`${name} (not tried: not root)`, () => {});

const COMMANDS: readonly (readonly [command: string, ...rest: string[]])[] = [
  ['convert', '-c', '-f', 'raw', raw, target],
  ['info', '--deep', image],
  ['check', '--data', image],
  ['compare', '-f', 'raw', raw, image],
  ['map', '--output=json', image],
  ['measure', '-c', '-f', 'raw', raw],
  ['man'],
];

describe('with few descriptors', () => {
  test.each(sample(COMMANDS, 2))('%s succeeds or fails with one line', async (...args) => {
    const limits = [20, 28, 36];
    // Each run has a target of its own: a second run to the same one would be refused.
    const wordsFor = (limit: number) => args.map((word) => (word === target ? `${target}.${limit}` : word));
    const runs = limits.map((limit) =>
      cli(wordsFor(limit), { under: ['prlimit', `--nofile=${limit}`, '--'] }),
    );
    for (const { status, signal, stdout, stderr } of await Promise.all(runs)) {
      expect(signal).toBeNull();
      if (status === 0) {
        expect(stderr).toBe('');
        continue;
      }
      expect(stderr).toMatch(/^qcow2c: Could not [^\n]*: Too many open files[^\n]*\n$/);
      expect({ status, stdout }).toEqual({ status: args[0] === 'compare' ? 2 : 1, stdout: '' });
    }
  });
});

describe('with few threads', () => {
  // Every user but root has a limit on threads. A user without other processes can use all of them.
  const other = ['--reuid=54321', '--regid=54321', '--clear-groups', '--'];
  const under = (most: number) => [
    ...(isRoot ? ['setpriv', ...other] : []),
    ...['prlimit', `--nproc=${most}`, '--'],
  ];
  /** Of Node.js itself, with those for asynchronous file operations: more are workers. */
  const OTHERS = 11;
  const convert = ['convert', '-c', '-v', '-m', '4', '-f', 'raw', raw, target];
  beforeAll(() => {
    for (const file of [raw, image]) chmodSync(file, 0o644);
    chmodSync(dirname(dirname(target)), 0o711);
    chmodSync(dirname(target), 0o777);
  });

  asRoot('a conversion works with the threads that start, and -v reports it', async () => {
    const { status, stderr } = await cli(convert, { under: under(OTHERS + 2) });
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringMatching(/worker threads: 2$/m) });
    expect(stderr).toMatch(/^Fewer worker threads than requested: .*\(ulimit -u is 13\)/m);
    await expectGoodImage(target, raw);
  });

  asRoot('every command with workers does its work with one of them', async () => {
    for (const [command, ...rest] of sample(COMMANDS.slice(1, -1), 2)) {
      const args = command === 'map' ? rest : ['-m', '4', ...rest];
      const { status, stderr } = await cli([command, ...args], { under: under(OTHERS + 1) });
      expect({ command, status, stderr }).toEqual({ command, status: 0, stderr: '' });
    }
  });

  asRoot('a conversion that can have none ends with an error that names the limit', async () => {
    const before = readdirSync(dirname(target));
    expect(await cli(convert, { under: under(OTHERS) })).toMatchObject({
      ...{ status: 1, stdout: '' },
      stderr: 'qcow2c: Could not start a worker thread (ulimit -u is 11): Resource temporarily unavailable\n',
    });
    expect(readdirSync(dirname(target))).toEqual(before);
  });
});

asRoot('with an empty /dev every command does its work', async () => {
  const under = ['unshare', '--mount', 'sh', '-ec', 'mount -t tmpfs none /dev; exec "$0" "$@"'];
  const runs = sample(COMMANDS, 3).map(async (args) => {
    const { status, stderr } = await cli(args, { under });
    expect({ args, status, stderr }).toEqual({ args, status: 0, stderr: '' });
  });
  await Promise.all(runs);
});
