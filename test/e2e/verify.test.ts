/** --verify through the command line: silent when all is well, and a write that the disk has lost is found. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type CliOptions, cli, cliOk, injecting, ONE_THREAD } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { namesBeside, randomBytes } from './source-images.js';

const path = useScratch();
const raw = path('source.raw');
const target = path('target.img');
const MIB = 1024 * 1024;
const ITEM = 2 * MIB;
const bytes = randomBytes(2 * ITEM + 512);

beforeAll(() => writeFile(raw, bytes));
beforeEach(() => rm(target, { force: true }));

test.each([
  ['compressed', ['-c']],
  ['plain', []],
  ['through the page cache', ['-t', 'writeback']],
  ['without a sync', ['-t', 'unsafe']],
  ['from several sources', ['-c', raw]],
])('a good image (%s) is made without a word', async (_, options) => {
  await cliOk(['convert', '-O', 'qcow2', '--verify', ...options, raw, target]);
  if (!options.includes(raw)) await expectGoodImage(target, raw);
});

test('a stream is converted without a message', async () => {
  const pipe = { fifo: path('fifo'), command: `cat '${raw}'` };
  await cliOk(['convert', '-c', '--verify', pipe.fifo, target], { pipe });
  await expectGoodImage(target, raw);
});

describe('a write that the disk reports but drops', () => {
  const lostWrite = injecting('pwrite64,pwritev', `retval=${ITEM}:when=1`);
  const convert = (...options: string[]) =>
    cli(['convert', '-O', 'raw', ...options, raw, target], { under: lostWrite, env: ONE_THREAD });

  test('is found, and leaves the old target unchanged', async () => {
    await writeFile(target, 'old');
    const before = await namesBeside(target);
    const { status, stdout, stderr } = await convert('--verify');
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toBe(
      `qcow2c: '${target}' was read back and does not hold the content of '${raw}': ` +
        'at guest offset 0 the sector differs from the source\n',
    );
    expect(await namesBeside(target)).toEqual(before);
    expect(await readFile(target, 'utf8')).toBe('old');
  });

  test('is not found without --verify', async () => {
    expect(await convert()).toMatchObject({ status: 0, stderr: '' });
    expect((await readFile(target)).equals(bytes)).toBe(false);
  });

  test('in place is reported to be in the target', async () => {
    await writeFile(target, Buffer.alloc(bytes.length));
    const { status, stderr } = await convert('-n', '--verify');
    expect(status).toBe(1);
    expect(stderr).toMatch(/; it was written in place, and is wrong now\n$/);
  });
});

test('-v reports where the target was read from', async () => {
  const verbose = (options?: CliOptions) => cli(['convert', '-c', '--verify', '-v', raw, target], options);
  expect((await verbose()).stderr).toMatch(
    /^Verified: read back from the device, bypassing the page cache$/m,
  );
  // The file system that refuses the first direct write.
  const under = injecting('pwrite64', 'error=EINVAL:when=1');
  const refused = await verbose({ under, env: ONE_THREAD });
  expect(refused.stderr).toMatch(/^Verified: read back after eviction from the page cache$/m);
});
