/** No run has more worker threads than requested, in any of its phases. */
import { rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { sample } from '../stage.js';
import { cliOk } from './cli.js';
import { observed } from './observed-run.js';
import { useScratch } from './scratch.js';

const path = useScratch();
const [raw, image, out] = [path('disk.raw'), path('image.qcow2'), path('out')];
/** Work items of 2 MiB for more workers than are asked for. */
const content = Buffer.alloc(12 * 2 ** 20, 'a line of text\n');
/** docs/reliability.md: the main thread, Node.js' own and those for asynchronous file operations. */
const OTHERS = 7;
const FILE_THREADS = 4;

beforeAll(async () => {
  writeFileSync(raw, content);
  await cliOk(['convert', '-c', '-f', 'raw', raw, image]);
  await runOk('qemu-img', ['bitmap', '--add', image, 'b']);
});

const piped = { under: ['sh', '-c', `cat '${raw}' | "$0" "$@"`] };

beforeEach(() => rmSync(out, { force: true }));

test.each(
  sample<readonly [string, readonly number[]]>(
    [
      ['convert -c -f raw RAW OUT', [1, 3]],
      ['convert -c --verify -f raw RAW OUT', [3]],
      ['convert -O raw --verify IMAGE OUT', [3]],
      ['convert -c --bitmaps --recompress --verify IMAGE OUT', [3]],
      ['convert -c --verify -f raw - OUT', [3]],
      ['compare -f raw RAW IMAGE', [3]],
      ['check --data IMAGE', [3]],
      ['check --data -r all IMAGE', [3]],
      ['info --deep IMAGE', [3]],
      ['measure -c -f raw RAW', [3]],
      ['measure -c --sample 60 -f raw RAW', [3]],
    ],
    1,
    3,
  ),
)('%s has as many workers as -m says, in all its passes together', async (line, counts) => {
  const names: Readonly<Record<string, string>> = { RAW: raw, IMAGE: image, OUT: out };
  const [command, ...rest] = line.split(' ').map((word) => names[word] ?? word);
  for (const asked of counts) {
    const run = await observed(
      path('seen'),
      [command!, '-m', `${asked}`, ...rest],
      rest.includes('-') ? piped : {},
    );
    expect(run.outcome).toMatchObject({ status: 0, stderr: '' });
    expect([run.mostWorkers, run.workers]).toEqual([asked, asked]);
    expect(run.mostThreads).toBeLessThanOrEqual(OTHERS + FILE_THREADS + asked);
  }
});

test('without -m there are as many as there are processors', async () => {
  const run = await observed(path('seen'), ['convert', '-c', '-f', 'raw', raw, out]);
  expect(run.mostWorkers).toBeLessThanOrEqual(availableParallelism());
});

test('UV_THREADPOOL_SIZE=1 sets the number of threads for file operations', async () => {
  const env = { UV_THREADPOOL_SIZE: '1' };
  const run = await observed(path('seen'), ['convert', '-c', '-m', '2', '-f', 'raw', raw, out], { env });
  expect(run.mostWorkers).toBe(2);
  expect(run.mostThreads).toBeLessThanOrEqual(OTHERS + 1 + 2);
});

test('an image without compressed clusters, and disks that share their bytes, start none', async () => {
  await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', path('empty.qcow2'), '1G']);
  for (const args of [
    ['check', '--data', path('empty.qcow2')],
    ['compare', '-f', 'raw', '-F', 'raw', raw, raw],
  ]) {
    expect((await observed(path('seen'), args)).workers).toBe(0);
  }
});
