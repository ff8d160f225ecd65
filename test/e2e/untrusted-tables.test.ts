/**
 * Small files with tables that never end: impossible tables are refused, and every other command ends when it is
 * signalled.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as later } from 'node:timers/promises';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { sample, TESTS_ALL } from '../stage.js';
import { cli, startCli } from './cli.js';
import { useScratch } from './scratch.js';
import {
  bitmapEntry,
  bitmapsExtension,
  COPIED,
  type Forgery,
  snapshotEntry,
  tableOf,
  writeForgery,
} from './untrusted-images.js';

const path = useScratch();
const KIB = 1024;
const MIB = KIB * KIB;
const CLUSTER = 64 * KIB;
const other = path('other.raw');
beforeAll(() => writeFileSync(other, Buffer.alloc(4096)));

const wordsOf = (command: string, image: string) => {
  const replaced: Readonly<Record<string, string>> = { FILE: image, OTHER: other, OUT: path('out.qcow2') };
  return command.split(' ').map((word) => replaced[word] ?? word);
};

/** 8 MiB of L1 table that refer to one L2 table, in which every other cluster is zeros. */
const ONE_L2_TABLE: Forgery = {
  l1: { offset: 6 * CLUSTER, entries: MIB },
  pieces: [
    { at: 5 * CLUSTER, bytes: tableOf(8192, (index) => BigInt(index % 2)) },
    { at: 6 * CLUSTER, bytes: tableOf(MIB, () => COPIED | BigInt(5 * CLUSTER)) },
  ],
};

/** As many snapshots as there can be, all with one L1 table of 32 MiB, a hole. */
const SNAPSHOTS: Forgery = {
  snapshots: { offset: 6 * CLUSTER, count: 65_536 },
  pieces: [
    {
      at: 6 * CLUSTER,
      bytes: Buffer.concat(
        Array.from({ length: 65_536 }, (_, index) =>
          snapshotEntry({ l1: { offset: 8 * MIB, entries: 4 * MIB }, id: `${index}` }),
        ),
      ),
    },
  ],
  fileSize: 40 * MIB,
};

/** As many bitmaps as there can be; in other runs a quarter of them, which take a quarter of the time. */
const BITMAP_COUNT = TESTS_ALL ? 65_535 : 16_384;
const DIRECTORY = Buffer.concat(
  Array.from({ length: BITMAP_COUNT }, (_, index) =>
    bitmapEntry({ offset: 8 * MIB, entries: MIB }, `${index}`.padStart(8, '0')),
  ),
);
/** Bitmaps that all have one table of 8 MiB, a hole. */
const BITMAPS: Forgery = {
  clusterBits: 9,
  autoclear: 1n,
  virtualSize: 32 * KIB,
  extensions: [bitmapsExtension(BITMAP_COUNT, CLUSTER, DIRECTORY.length)],
  pieces: [{ at: CLUSTER, bytes: DIRECTORY }],
  fileSize: 16 * MIB,
};

/** A disk with a quarter of the largest L1 table, with nothing in it. test/e2e/untrusted-memory has the largest. */
const EMPTY_DISK: Forgery = { l1: { offset: 6 * CLUSTER, entries: MIB }, fileSize: 9 * MIB };

describe('tables that share their bytes', () => {
  test.each([
    ['L2 tables', 'check', ONE_L2_TABLE, /The L2 tables of one L1 table in '[^']*' share their bytes/],
    ['L1 tables', 'check', SNAPSHOTS, /The L1 tables in '[^']*' share their bytes/],
    ['L1 tables', 'info --deep', SNAPSHOTS, /The L1 tables of snapshots in '[^']*' share their bytes/],
    // Ten million entries are read before.
    ...(TESTS_ALL
      ? ([['bitmap tables', 'check', BITMAPS, /The tables of bitmaps in '[^']*' share their bytes/]] as const)
      : []),
  ] as const)('%s end %s', async (_, command, forgery, line) => {
    const image = path('shared.qcow2');
    writeForgery(image, forgery);
    const { status, stderr } = await cli(wordsOf(`${command} -f qcow2 FILE`, image));
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(line);
    expect(status).toBe(1);
  });
});

/** @returns the milliseconds of processor time that a process has used */
function processorTime(pid: number): number {
  // The second field is a name in parentheses; the ticks of both kinds are the 14th and 15th, 100 in a second.
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

describe('a disk of pebibytes out of one L2 table', () => {
  const image = path('endless.qcow2');
  beforeAll(() => writeForgery(image, ONE_L2_TABLE));

  test.each(
    sample(
      [
        'info --deep -f qcow2 FILE',
        'compare -f qcow2 FILE OTHER',
        'compare -f qcow2 -F qcow2 FILE FILE',
        'measure -f qcow2 -O qcow2 FILE',
        'measure -f qcow2 -c FILE',
        'convert -f qcow2 FILE OUT',
        'convert -f qcow2 -O raw FILE OUT',
      ],
      2,
    ),
  )('%s ends when it is signalled', async (command) => {
    const { child, finished } = startCli(wordsOf(command, image));
    onTestFinished(() => void child.kill('SIGKILL'));
    // Long after its start, and without end: a busy machine delays both alike.
    while (child.exitCode === null && processorTime(child.pid!) < 900) await later(20);
    child.kill('SIGTERM');
    const { status, stderr } = await finished;
    expect({ status, stderr }).toEqual({
      status: 143,
      stderr: expect.stringMatching(/stopped by SIGTERM\n$/),
    });
  });
});

describe('an empty disk of 512 TiB', () => {
  const image = path('empty.qcow2');
  beforeAll(() => writeForgery(image, EMPTY_DISK));

  test.each([
    ['info --deep -f qcow2 FILE', 0],
    ['check -f qcow2 FILE', 2],
    ['compare -f qcow2 FILE OTHER', 0],
    ['map -f qcow2 --output=json FILE', 0],
    ['map -f qcow2 --output=svg FILE', 0],
    ['measure -f qcow2 -O qcow2 FILE', 0],
    ['convert -f qcow2 FILE OUT', 0],
    ['convert -f qcow2 -c FILE OUT', 0],
  ])('%s is done with it at once', async (command, status) => {
    expect((await cli(wordsOf(command, image))).status).toBe(status);
  });
});

test(`info lists ${BITMAP_COUNT} bitmaps`, async () => {
  const image = path('bitmaps.qcow2');
  writeForgery(image, BITMAPS);
  const { status, stdout } = await cli(['info', '-f', 'qcow2', image]);
  expect(status).toBe(0);
  expect(stdout.match(/^ {12}name: \d{8}$/gm)).toHaveLength(BITMAP_COUNT);
});
