/** What fuzzing has found, each with the mutant that showed it: base image, how it is read, changes. */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { fuzzOne } from './fuzzing.js';
import { warmUp } from './library-run.js';
import type { Mutant } from './mutant.js';
import { Workbench } from './workbench.js';

vi.mock('../../src/workers/pool.js', () => import('./in-thread-pool.js'));

const FINDINGS: readonly (readonly [what: string, mutant: Mutant])[] = [
  [
    'beside extended L2 entries a compressed cluster at an odd offset was looked for a byte before it',
    {
      base: 'subclusters/16k-zlib',
      read: undefined,
      trust: 'stated',
      target: 'raw',
      salvage: false,
      direct: false,
      mutations: [],
    },
  ],
  [
    'no file was named where the offset of an L2 table is past 2^53',
    {
      base: 'subclusters/16k-zlib',
      read: undefined,
      trust: 'stated',
      target: 'raw',
      salvage: false,
      direct: false,
      mutations: [
        {
          file: 'subclusters/16k-zlib.qcow2',
          what: 'L1 entry 0x8000000000010000 -> 0x7fffffffffffffff',
          at: 49152,
          hex: '7fffffffffffffff',
        },
      ],
    },
  ],
  [
    'contradictory bits of one subcluster left the others readable, which QEMU does not believe',
    {
      base: 'bitmaps/extended-l2',
      read: undefined,
      trust: 'isolated',
      target: 'packed',
      salvage: true,
      direct: false,
      mutations: [
        {
          file: 'bitmaps/extended-l2.qcow2',
          what: 'subcluster bitmap 0x3f -> 0x4040608240002410',
          at: 393496,
          hex: '4040608240002410',
        },
      ],
    },
  ],
];

const directory = mkdtempSync(join(inject('scratch'), 'findings-'));
afterAll(() => rm(directory, { recursive: true, force: true }));
let bench: Workbench;
beforeAll(async () => {
  bench = await Workbench.open(directory, new Set(FINDINGS.map(([, { base }]) => base)));
  await warmUp(bench);
});

test.each(FINDINGS)('%s', async (_what, mutant) => {
  expect(await fuzzOne(bench, mutant)).toEqual([]);
});
