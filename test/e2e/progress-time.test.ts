/**
 * Progress tells the time: at every moment its share is that of the processor time of the whole run, within twenty points.
 * Processor time stands for the time that passes, because other work on the machine does not change it.
 */
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { runOk } from '../oracle/run.js';
import { sample } from '../stage.js';
import { cliOk, ROOT } from './cli.js';
import { useScratch } from './scratch.js';
import { makeExt4Disk } from './source-images.js';

const path = useScratch();
const MIB = 1024 * 1024;
/** A quiet machine shows half of it. */
const POINTS = 0.2;
const [ext4, dense, sparse] = [path('ext4.raw'), path('dense.raw'), path('sparse.raw')];
const [base, overlay] = [path('base.qcow2'), path('overlay.qcow2')];

/** Programs and libraries of this machine, one after the other. */
function systemFiles(bytes: number): Buffer {
  const files: Buffer[] = [];
  let left = bytes;
  for (const directory of ['/usr/bin', '/usr/lib/x86_64-linux-gnu', '/usr/lib']) {
    for (const name of readdirSync(directory).sort()) {
      const file = join(directory, name);
      const stats = statSync(file, { throwIfNoEntry: false });
      if (left <= 0 || !stats?.isFile() || stats.size > 6 * MIB) continue;
      files.push(readFileSync(file));
      left -= stats.size;
    }
  }
  return Buffer.concat(files).subarray(0, bytes - (bytes % 512));
}

beforeAll(async () => {
  // A share of the time says little when the whole is short.
  writeFileSync(dense, systemFiles(160 * MIB));
  mkdirSync(path('node_modules'));
  symlinkSync(ROOT, path('node_modules', 'qcow2c'));
  copyFileSync(fileURLToPath(new URL('./progress-record.mjs', import.meta.url)), path('record.mjs'));
});

/** The base holds the first part of the dense disk, the overlay the rest. */
async function makeChain(): Promise<void> {
  const start = readFileSync(dense).fill(0, 90 * MIB);
  writeFileSync(path('start.raw'), start);
  await cliOk(['convert', '-c', '-f', 'raw', path('start.raw'), base]);
  await runOk('qemu-img', [...'convert -O qcow2 -F qcow2 -B'.split(' '), base, dense, overlay]);
}

async function makeSparse(): Promise<void> {
  await runOk('qemu-img', ['create', '-q', '-f', 'raw', sparse, '4G']);
  await runOk('dd', [`if=${dense}`, `of=${sparse}`, 'bs=1M', 'seek=3000', 'conv=notrunc', 'status=none']);
}

interface Recording {
  /** The share, and the microseconds of processor time until then. */
  readonly reports: readonly (readonly [share: number, used: number])[];
  readonly total: number;
}

async function record(options: Partial<ConvertOptions>): Promise<Recording> {
  const all = { target: path('target'), compress: true, threads: 2, ...options };
  return JSON.parse(await runOk(process.execPath, [path('record.mjs'), JSON.stringify(all)])) as Recording;
}

const source = (file: string, format: 'raw' | 'qcow2') => ({ sources: [{ file, format }] });

/** Each with what makes its source. */
const RUNS: readonly (readonly [string, Partial<ConvertOptions>, () => Promise<void>])[] = [
  ['an ext4 disk', source(ext4, 'raw'), () => makeExt4Disk(ext4, 96)],
  ['a dense disk', source(dense, 'raw'), async () => {}],
  ['a chain of copied and new clusters', source(overlay, 'qcow2'), makeChain],
  ['data after 3 GB of holes', source(sparse, 'raw'), makeSparse],
  ['a dense disk that is verified', { ...source(dense, 'raw'), verify: true }, async () => {}],
];

test.each(sample(RUNS, 1))('of %s', { retry: 2 }, async (_, options, make) => {
  await make();
  const { reports, total } = await record(options);
  expect(reports.length).toBeGreaterThan(30);
  const shares = reports.map(([share]) => share);
  expect(shares).toEqual([...shares].sort((a, b) => a - b));
  expect([shares[0], shares.at(-1)]).toEqual([0, 1]);
  const off = reports.map(([share, used]) => Math.abs(share - used / total));
  expect(Math.max(...off)).toBeLessThan(POINTS);
});
