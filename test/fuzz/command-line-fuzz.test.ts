/** Mutants through the built program with worker threads: its exit, its resources, and the files it opens. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { startCli } from '../e2e/cli.js';
import { readTrace, underStrace, unquote } from '../oracle/strace.js';
import { budget } from './budget.js';
import { inWords, type Mutant } from './mutant.js';
import { type Place, Workbench } from './workbench.js';

const REPORT = fileURLToPath(new URL('report-usage.mjs', import.meta.url));
/** A hang, even on a busy machine. */
const MOST_SECONDS = 60;
const MOST_CPU_MS = 5000;
const MOST_MEMORY_KIB = 256 * 1024;
/** One in so many runs under strace. */
const TRACED_ONE_IN = 3;

/** Of every kind that leads to other files or to much memory: a short run has not more mutants than these. */
const FEW = new Set([
  'clusters/512-v3-zlib',
  'snapshots/512',
  'data-files/512',
  'names/same-directory',
  'chains/depth-3',
  'sizes/1-tebibyte',
]);
const isShort = budget.programs < FEW.size;

const directory = mkdtempSync(join(inject('scratch'), 'fuzz-'));
afterAll(() => rm(directory, { recursive: true, force: true }));
let bench: Workbench;
beforeAll(async () => {
  bench = await Workbench.open(directory, isShort ? FEW : undefined);
});

test('the program ends soon, in little memory, and reads nothing that was not given', {
  timeout: budget.timeout,
}, async () => {
  const findings: string[] = [];
  const statuses = new Set<number | null>();
  for (let index = 0; index < budget.programs; index += 1) {
    const mutant = bench.mutant(budget.seed, index);
    const isTraced = index % TRACED_ONE_IN === 0;
    const { status, problems } = await bench.inPlace(mutant, (place) => runProgram(mutant, place, isTraced));
    statuses.add(status);
    if (problems.length > 0) findings.push(`${problems.join('; ')}\n  ${index}: ${inWords(mutant)}`);
  }
  expect(findings).toEqual([]);
  // Neither all nor none are read.
  expect([...statuses].sort()).toEqual([0, 1]);
});

async function runProgram(mutant: Mutant, { base, image, given, out }: Place, isTraced: boolean) {
  const [usage, log, target] = [join(directory, 'usage'), join(directory, 'trace'), join(out, 'target')];
  const { child, finished } = startCli(wordsFor(mutant, base, basename(image), target), {
    cwd: dirname(image),
    env: { QCOW2C_TEST_USAGE: usage },
    nodeOptions: ['--import', REPORT],
    under: isTraced ? underStrace(log) : [],
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), MOST_SECONDS * 1000);
  const { status, signal, stderr } = await finished;
  clearTimeout(timer);
  const problems: string[] = [];
  if (signal !== null || (status !== 0 && status !== 1)) {
    return { status, problems: [`ended by ${signal ?? status}: ${stderr}`] };
  }
  if (/internal error/.test(stderr) || (status === 1 && !/^qcow2c: ./.test(stderr))) problems.push(stderr);
  const left = readdirSync(out).filter((name) => status === 1 || name !== 'target');
  if (left.length > 0) problems.push(`left behind: ${left.join(', ')}`);
  const { peakKib, cpu } = JSON.parse(readFileSync(usage, 'utf8')) as { peakKib: number; cpu: number };
  rmSync(usage);
  if (peakKib > MOST_MEMORY_KIB) problems.push(`${peakKib} KiB of memory`);
  if (!isTraced && cpu > MOST_CPU_MS) problems.push(`${cpu} ms of processor time`);
  if (isTraced) {
    const opened = (await readTrace(log))
      .filter(({ name, result }) => name === 'openat' && result >= 0)
      .map(({ args }) => resolve(dirname(image), unquote(args[1]!)));
    if (!opened.includes(image)) problems.push('the trace does not show the image');
    const foreign = opened.filter((path) => path.startsWith(bench.images) && !given.has(path));
    if (foreign.length > 0) problems.push(`read ${foreign.join(', ')}`);
  }
  return { status, problems };
}

function wordsFor(
  { trust, salvage, direct, read, target: kind }: Mutant,
  { clusterSize, compressionType }: Place['base'],
  image: string,
  target: string,
): string[] {
  return [
    'convert',
    ...(trust === 'guessed' ? [] : ['-f', 'qcow2']),
    ...(trust === 'isolated' ? ['--isolated'] : []),
    ...(read === undefined ? [] : ['-l', read.word]),
    ...(salvage ? ['--salvage'] : []),
    ...(direct ? ['-T', 'none'] : []),
    ...(kind === 'packed' ? ['-c'] : []),
    ...(kind === 'bitmaps' ? ['--bitmaps', ...(salvage ? ['--skip-broken-bitmaps'] : [])] : []),
    ...(kind === 'raw'
      ? ['-O', 'raw']
      : ['-O', 'qcow2', '-o', `cluster_size=${clusterSize},compression_type=${compressionType}`]),
    ...['-t', 'unsafe', '-m', '2', image, target],
  ];
}
