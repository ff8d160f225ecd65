/**
 * A run that is killed at any moment leaves the target's name with its old content or the whole new image, and only
 * leftovers that the next run removes.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { sample, TESTS_ALL } from '../stage.js';
import { cliOk, ONE_THREAD, startCli } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { randomBytes } from './source-images.js';

const path = useScratch();
const source = path('source.raw');
const OLD = Buffer.from('what was there before');
const TEMPORARY = /^\.target\.qcow2\.qcow2c\.tmp$/;
/** Small clusters and no cache: as many writes as can be. */
const ARGS = [
  'convert',
  '-c',
  '-O',
  'qcow2',
  '-m',
  '1',
  '-o',
  'cluster_size=4k',
  '--compressed-cache-size',
  '0',
  '-f',
  'raw',
];
const IN_CAMPAIGN = process.env['QCOW2C_KILLS'] !== undefined;
/** The least number of kills. */
const FEWEST = IN_CAMPAIGN ? 200 : TESTS_ALL ? 50 : 8;
let whole: Buffer;

beforeAll(async () => {
  const text = Buffer.alloc(200_000, 'the quick brown fox jumps over the lazy dog. ');
  writeFileSync(source, Buffer.concat([text, randomBytes(100_000), text]));
  await cliOk([...ARGS, source, path('whole.qcow2')]);
  whole = readFileSync(path('whole.qcow2'));
  await expectGoodImage(path('whole.qcow2'), source);
});

/** Runs a conversion that the kernel kills at the `when`th call of a kind. @returns whether it was killed */
async function killedAt(call: string, when: number, target: string): Promise<boolean> {
  const fault = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${when}`];
  const under = ['strace', '-f', '-qqq', '-o', '/dev/null', ...fault, '--'];
  const { status, signal } = await startCli([...ARGS, source, target], { under, env: ONE_THREAD }).finished;
  if (status === 0) return false;
  // strace ends when its program has ended.
  expect([status, signal]).toContainEqual(signal === null ? 137 : 'SIGKILL');
  return true;
}

/** The calls at which a run is killed, with which of them; each number is counted by thread. */
const KILLS: readonly (readonly [call: string, numbers: readonly number[]])[] = [
  ['pwritev,pwrite64', some(1, 59)],
  ['ftruncate', [1, 2]],
  ['fdatasync', [1, 2]],
  ['fsync', [1, 2]],
  ['rename', [1]],
  ['close', some(1, 40)],
  ['openat', some(60, 80)],
  ['fcntl', [1, 4, 7]],
  ['pread64', some(1, 24)],
  ['futex', some(1, 40)],
  ['mmap', some(60, 75)],
];

/** Every second call in `npm run kills`, fewer in other runs. */
function some(from: number, to: number): number[] {
  const step = IN_CAMPAIGN ? 2 : TESTS_ALL ? 7 : 20;
  return Array.from({ length: Math.ceil((to - from + 1) / step) }, (_, index) => from + step * index);
}

/** The name has its old file or the whole new image; beside it is at most the temporary file. */
function expectOldOrNew(target: string, old: Buffer | undefined): void {
  const content = existsSync(target) ? readFileSync(target) : undefined;
  const isAsBefore = content === undefined ? old === undefined : old !== undefined && content.equals(old);
  expect(isAsBefore || content?.equals(whole)).toBe(true);
  const others = readdirSync(path('')).filter((name) => name.startsWith('.'));
  for (const name of others) expect(name).toMatch(TEMPORARY);
}

let kills = 0;

describe.each([
  ['an old image', OLD],
  ['nothing', undefined],
] as const)('over %s', (_, old) => {
  test.each(sample(KILLS, 2, old === undefined ? 2 : 5))(`at calls of %s`, async (call, numbers) => {
    const target = path('target.qcow2');
    for (const when of numbers) {
      rmSync(target, { force: true });
      if (old !== undefined) writeFileSync(target, old);
      if (!(await killedAt(call, when, target))) break;
      kills += 1;
      expectOldOrNew(target, old);
    }
    await cliOk([...ARGS, source, target]);
    expect(readFileSync(target).equals(whole)).toBe(true);
    expect(readdirSync(path('')).sort()).toEqual(['source.raw', 'target.qcow2', 'whole.qcow2']);
  });
});

test(`at least ${FEWEST} runs were killed`, () => {
  expect(kills).toBeGreaterThanOrEqual(FEWEST);
});
