/**
 * The most descriptors that each kind of conversion opens, and its result with fewer: an error that names the cause, no
 * leftovers, no open files.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { cli } from './cli.js';
import { useScratch } from './scratch.js';
import { patchworkBytes } from './source-images.js';

const path = useScratch();
const FEW_DESCRIPTORS = fileURLToPath(new URL('./few-descriptors.mjs', import.meta.url));
const DEPTH = 40;
const layer = (depth: number) => path(`layer ${depth}.qcow2`);

/** Of one worker thread: while it is there (from Node.js 22 on its event loop has one more), and while it starts. */
const THREAD = Number.parseInt(process.versions.node, 10) < 22 ? 4 : 5;
const STARTING = 12;

const [raw, target] = [path('disk.raw'), path('out', 'target')];
const plain = { sources: [raw], sourceFormat: 'raw', threads: 1, target };
const chain = (length: number) => ({ ...plain, sources: [{ file: layer(length - 1), format: 'qcow2' }] });
const create = { dataFile: path('out', 'target.data') };

/**
 * Each conversion by how many files it has open, the target's file counted twice: its lock is one of its own. A file
 * that is replaced is held too.
 */
const CONVERSIONS: Readonly<Record<string, readonly [files: number, options: object]>> = {
  'raw to qcow2': [1 + 2, plain],
  compressed: [1 + 2, { ...plain, compress: true }],
  'raw to raw': [1 + 2, { ...plain, targetFormat: 'raw' }],
  'over a file': [1 + 3, { ...plain, target: path('out', 'old'), targetFormat: 'qcow2' }],
  'two sources': [2 + 2, { ...plain, sources: [raw, raw] }],
  'a chain of 5': [5 + 2, chain(5)],
  'from a data file': [2 + 2, { ...plain, sources: [{ file: path('data-file.qcow2'), format: 'qcow2' }] }],
  'to a data file': [1 + 4, { ...plain, create }],
  overlay: [1 + 2 + 3, { ...plain, create: { backingFile: layer(2), backingFormat: 'qcow2' } }],
  verified: [1 + 2, { ...plain, verify: true }],
};

interface Attempt {
  readonly free: number;
  readonly code: string;
  readonly systemCode?: string;
  readonly message?: string;
  /** Descriptors that are open afterwards and were not before. */
  readonly lost: number;
  readonly left: readonly string[];
  readonly most: number;
}
let seen: Readonly<Record<string, readonly Attempt[]>>;

beforeAll(async () => {
  mkdirSync(path('out'));
  // Two items: a disk of one is converted without a thread.
  writeFileSync(raw, patchworkBytes(3_000_000));
  writeFileSync(path('out', 'old'), 'what was there before');
  const create = ['create', '-q', '-f', 'qcow2'];
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, layer(0)]);
  for (let depth = 1; depth < DEPTH; depth++) {
    await runOk('qemu-img', [...create, '-b', layer(depth - 1), '-F', 'qcow2', layer(depth)]);
  }
  const dataFile = `data_file=${path('data')}`;
  await runOk('qemu-img', [
    'convert',
    '-f',
    'raw',
    '-O',
    'qcow2',
    '-o',
    dataFile,
    raw,
    path('data-file.qcow2'),
  ]);
  const runs = Object.entries(CONVERSIONS).map(([name, [files, given]]) => [name, files + STARTING, given]);
  const program = [process.execPath, FEW_DESCRIPTORS, JSON.stringify(runs)];
  seen = JSON.parse(await runOk('prlimit', ['--nofile=100', '--', ...program]));
});

test.each(Object.entries(CONVERSIONS))(
  '%s: so many are open, with fewer there is an error, and with those of a thread that starts there are enough',
  (name, [files]) => {
    const attempts = seen[name]!;
    const done = attempts.at(-1)!;
    expect(done).toMatchObject({ code: 'done', lost: 0, left: [], most: files + THREAD });
    for (const { code, systemCode, lost, left, message } of attempts.slice(0, -1)) {
      expect({ code, systemCode, lost, left }).toEqual({
        code: 'ERR_IO',
        systemCode: 'EMFILE',
        lost: 0,
        left: [],
      });
      expect(message).toMatch(/^Could not .*Too many open files$/);
    }
  },
);

test('a chain of 40 images under a low limit is an error that names the image, and works under a higher one', async () => {
  const convert = ['convert', '-f', 'qcow2', '-m', '1', layer(DEPTH - 1), path('out', 'flat.qcow2')];
  const few = await cli(convert, { under: ['prlimit', '--nofile=40', '--'] });
  expect(few).toMatchObject({ status: 1, stdout: '' });
  expect(few.stderr).toMatch(
    /^qcow2c: Could not open '.*layer 39\.qcow2': .*'.*layer \d+\.qcow2'.*: Too many open files\n$/,
  );
  expect(readdirSync(path('out'))).not.toContain('flat.qcow2');
  const enough = await cli(convert, { under: ['prlimit', '--nofile=100', '--'] });
  expect(enough).toMatchObject({ status: 0, stderr: '' });
});
