/** --memory: the whole process stays below the limit, the bytes stay the same, and too little is an error. */
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sample } from '../stage.js';
import { cli, cliOk } from './cli.js';
import { observed } from './observed-run.js';
import { useScratch } from './scratch.js';
import { randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const MIB = 2 ** 20;
const [raw, zlib, zstd, small, out] = [
  path('disk.raw'),
  path('zlib.qcow2'),
  path('zstd.qcow2'),
  path('small.qcow2'),
  path('out'),
];
const NAMES: Readonly<Record<string, string>> = { RAW: raw, ZLIB: zlib, ZSTD: zstd, SMALL: small, OUT: out };
/** More threads than fit, and fewer than there are work items. */
const THREADS = '10';

const LINES = sample(
  [
    `convert -c -m ${THREADS} -f raw RAW OUT`,
    `convert -c --verify -m ${THREADS} -f raw RAW OUT`,
    `convert -c -o compression_type=zstd,cluster_size=2M,compression_level=9 -m ${THREADS} -f raw RAW OUT`,
    `convert -c -o cluster_size=4k -m ${THREADS} -f raw RAW OUT`,
    `convert -c -m ${THREADS} -f raw RAW -`,
    `convert -c --engine node -m ${THREADS} -f raw RAW OUT`,
    `convert -O raw -m ${THREADS} SMALL OUT`,
    `compare -m ${THREADS} ZSTD SMALL`,
    `check --data -m ${THREADS} ZLIB`,
    `info --deep -m ${THREADS} ZLIB`,
    `measure -c -m ${THREADS} -f raw RAW`,
  ],
  2,
);

beforeAll(async () => {
  const piece = Buffer.concat([textBytes(MIB), randomBytes(3 * MIB)]);
  writeFileSync(raw, Buffer.concat(Array.from({ length: 6 }, () => piece)));
  writeFileSync(path('few.raw'), textBytes(100_000));
  for (const [name, image, options] of [
    ['ZLIB', zlib, 'cluster_size=64k'],
    ['ZSTD', zstd, 'compression_type=zstd,cluster_size=2M'],
    ['SMALL', small, 'cluster_size=4k'],
  ] as const) {
    if (!LINES.some((line) => line.includes(name))) continue;
    await cliOk(['convert', '-c', '-o', options, '-f', 'raw', raw, image]);
  }
});

// An image in another format is not overwritten.
beforeEach(() => rmSync(out, { force: true }));

/** The words of a command line, with a limit. */
function limited(line: string, limit: number): string[] {
  const [command, ...rest] = line.split(' ').map((word) => NAMES[word] ?? word);
  return [command!, '--memory', `${limit}`, ...rest];
}

/** The least limit with which a run works, as its own error names it. */
async function leastOf(line: string): Promise<number> {
  const { status, stderr } = await cli(limited(line, 1));
  const [, least] =
    /^qcow2c: A memory limit of 1 bytes is too low: this run takes at least (\d+) MiB\n$/.exec(stderr) ?? [];
  expect([status, stderr, least]).toEqual([line.startsWith('compare') ? 2 : 1, stderr, expect.anything()]);
  return Number(least) * MIB;
}

test.each(LINES)('%s stays below any limit that it accepts', async (line) => {
  const least = await leastOf(line);
  const seen: { readonly limit: number; readonly peak: number; readonly workers: number }[] = [];
  for (const limit of [least, least + 64 * MIB]) {
    const { outcome, peak, mostWorkers: workers } = await observed(path('seen'), limited(line, limit));
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    seen.push({ limit, peak: peak * 1024, workers });
  }
  if (process.env['QCOW2C_SHOW_PEAKS'] === '1') console.log(line, seen);
  expect(seen.filter(({ peak, limit }) => peak > limit)).toEqual([]);
  const [one, more] = seen;
  expect(one?.workers).toBe(1);
  expect(more?.workers).toBeLessThan(Number(THREADS));
  expect((await cli(limited(line, least - MIB))).stderr).toContain('too low');
});

describe('any limit gives the same bytes', () => {
  test.each(sample([['-c'], ['-c -o compression_type=zstd,cluster_size=2M'], ['-O qcow2'], ['-O raw']], 1))(
    '%s',
    async (flags) => {
      await cliOk(['convert', ...flags.split(' '), '-f', 'raw', raw, path('free')]);
      const line = `convert ${flags} -m ${THREADS} -f raw RAW OUT`;
      const least = await leastOf(line);
      for (const limit of [least, least + 40 * MIB]) {
        await cliOk(limited(line, limit));
        expect(readFileSync(out).equals(readFileSync(path('free')))).toBe(true);
      }
    },
  );
});

test('check finds the same with memory for some of the references at a time as for all', async () => {
  const long = path('long.qcow2');
  await cliOk(['convert', '-O', 'qcow2', '-o', 'cluster_size=512', '-f', 'raw', path('few.raw'), long]);
  // More host clusters than the fewest counters are for, and what nothing uses at the end of them.
  truncateSync(long, 512 * 2 ** 20);
  const [all, some] = [
    await cli(['check', long]),
    await cli(limited(`check ${long}`, await leastOf(`check ${long}`))),
  ];
  expect(some).toEqual(all);
  expect(all.stdout).toContain('Image end offset');
});

test('sizes are parsed as everywhere, and other values are refused', async () => {
  await cliOk(['convert', '-c', '--memory', '0.5G', '-f', 'raw', path('few.raw'), out]);
  for (const text of ['x', '-1', '1Q', '']) {
    const { status, stderr } = await cli(['convert', '-c', '--memory', text, '-f', 'raw', raw, out]);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/^qcow2c: Invalid memory limit specified\./)]);
  }
});

test('a limit that is too low leaves the target alone', async () => {
  writeFileSync(path('old'), 'what was there before');
  const { status } = await cli([
    'convert',
    '-c',
    '--memory',
    '1M',
    '-f',
    'raw',
    '-O',
    'qcow2',
    raw,
    path('old'),
  ]);
  expect([status, readFileSync(path('old'), 'utf8')]).toEqual([1, 'what was there before']);
});
