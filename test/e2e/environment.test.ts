/** The environment of a run has no effect on it: no network is used, and settings of Node.js change no byte. */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { sample } from '../stage.js';
import { cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk } from './source-images.js';

const path = useScratch();
const raw = path('mixed.raw');
const first = path('first.qcow2');
beforeAll(async () => {
  await makeMixedDisk(raw);
  await cliOk(['convert', '-c', raw, first]);
  await expectGoodImage(first, raw);
});

test.each([
  ['convert', ['convert', '-c', raw, path('traced.qcow2')]],
  ['check', ['check', first]],
])('%s makes no socket of the internet', async (name, args) => {
  const log = path(`${name}.log`);
  await cliOk(args, {
    under: ['strace', '-f', '--seccomp-bpf', '-qqq', '-e', 'trace=socket,execve', '-o', log, '--'],
  });
  const calls = (await readFile(log, 'utf8')).split('\n');
  expect(calls.filter((call) => call.includes('execve('))).not.toEqual([]);
  expect(calls.filter((call) => /socket\((AF_INET|PF_INET)/.test(call))).toEqual([]);
});

/** Ways of a run: compressed with both types, normal clusters, from compressed ones, to raw, around the page cache. */
const RUNS: readonly (readonly string[])[] = [
  ['-c', raw],
  ['-c', '-o', 'compression_type=zstd', raw],
  ['-O', 'qcow2', raw],
  ['-c', first],
  ['-O', 'raw', first],
  ['-c', '-t', 'writeback', '-T', 'none', raw],
];

test.each(
  sample(
    [
      { UV_THREADPOOL_SIZE: '1' },
      { UV_THREADPOOL_SIZE: '64' },
      { UV_USE_IO_URING: '0' },
      { UV_USE_IO_URING: '1' },
    ] as const,
    1,
  ),
)('with %j every kind of target has the same bytes', async (env) => {
  for (const [index, args] of sample(RUNS, 2, 3).entries()) {
    const usual = path(`usual-${index}`);
    if (!existsSync(usual)) await cliOk(['convert', ...args, usual]);
    const again = path(`again-${index}`);
    await cliOk(['convert', ...args, again], { env });
    expect([args, (await readFile(again)).equals(await readFile(usual))]).toEqual([args, true]);
  }
});

test('a module that prints in every thread keeps no run alive', async () => {
  const module = path('prints.cjs');
  await writeFile(
    module,
    "if (!require('node:worker_threads').isMainThread) for (const at of ['log', 'error']) console[at]('loaded');\n",
  );
  const env = { NODE_OPTIONS: `--require ${module}` };
  expect(await cliOk(['convert', '-c', raw, path('printed.qcow2')], { env })).toBe('');
});
