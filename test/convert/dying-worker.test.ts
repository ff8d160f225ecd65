/** A worker that dies in the middle of a conversion: one error, and nothing is left of it. */
import { constants, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { useScratch } from '../e2e/scratch.js';
import { makeSparseDisk, namesBeside, randomBytes, textBytes } from '../e2e/source-images.js';
import { run } from '../oracle/run.js';
import { sample } from '../stage.js';
import { turn } from '../storage/promise-state.js';
import { convertHere, testWorker } from './built-worker.js';

const path = useScratch();
const MIB = 1024 * 1024;
const raw = path('source.raw');
const target = path('target.qcow2');
const held = () => [readdirSync('/proc/self/fd').length, readdirSync('/proc/self/task').length];

const stray: unknown[] = [];
const note = (reason: unknown) => void stray.push(reason);
beforeAll(async () => {
  // More items than are ever under way at once.
  const parts = Array.from(
    { length: 20 },
    (_, item) => [item * 2 * MIB, Buffer.concat([randomBytes(200_000, item), textBytes(500_000)])] as const,
  );
  await makeSparseDisk(raw, 40 * MIB, parts);
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-c', raw, path('packed.qcow2')]);
  writeFileSync(target, 'the old target');
});
beforeEach(() => {
  process.on('unhandledRejection', note);
  process.on('warning', note);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await turn();
  process.off('unhandledRejection', note);
  process.off('warning', note);
  expect(stray.splice(0)).toEqual([]);
});

const WAYS = [
  ['runs out of memory', /memory limit/],
  ['throws', /the engine is broken/],
  ['throws later', /thread \d+ is broken/],
  ['rejects later', /thread \d+ is broken/],
  ['exits', /exited with code: 7/],
] as const;
const packed = { compress: true, targetFormat: 'qcow2', sourceFormat: 'raw', sources: [raw] } as const;
const stream = () => ({ stream: openSync(raw, constants.O_RDONLY), name: 'standard input' });
const CONVERSIONS: readonly (readonly [string, () => Partial<ConvertOptions>])[] = [
  ['a raw disk is compressed', () => packed],
  ['a compressed image becomes raw', () => ({ targetFormat: 'raw', sources: [path('packed.qcow2')] })],
  ['a stream is read', () => ({ ...packed, sources: [stream()] })],
  ['other threads continue', () => ({ ...packed, threads: 4 })],
];

test.each(
  sample(
    WAYS.flatMap(([way, reason]) =>
      CONVERSIONS.map(([name, options]) => [way, name, reason, options] as const),
    ),
    2,
    3,
  ),
)('a worker that %s ends the conversion while %s', async (way, _, reason, options) => {
  vi.stubEnv('WORKER_DIES', way);
  const before = await namesBeside(target);
  const start = held();
  const converting = convertHere(
    { sourceFormat: 'qcow2', sources: [], target, threads: 1, ...options() },
    { workerEntry: testWorker('dies-later') },
  );
  await expect(converting).rejects.toMatchObject({
    name: 'Qcow2cError',
    code: 'ERR_WORKER',
    guestOffset: expect.any(Number),
    message: expect.stringMatching(
      new RegExp(`^A worker failed at guest offset \\d+: .*${reason.source}`, reason.flags),
    ),
  });
  expect(await namesBeside(target)).toEqual(before);
  expect(readFileSync(target, 'utf8')).toBe('the old target');
  // A thread that died keeps its own descriptors for a moment.
  await vi.waitFor(() => expect(held()).toEqual(start), 20_000);
});

test('a worker that dies during verification ends the conversion too', async () => {
  vi.stubEnv('WORKER_DIES', 'exits');
  vi.stubEnv('WORKER_DIES_AT', 'compare disks');
  const before = await namesBeside(target);
  const phases = new Set<unknown>();
  const converting = convertHere(
    {
      sources: [raw],
      sourceFormat: 'raw',
      target,
      targetFormat: 'qcow2',
      compress: true,
      threads: 2,
      verify: true,
      onProgress: ({ phase, guestBytesDone, guestBytes }) => {
        if (guestBytesDone === guestBytes) phases.add(phase);
      },
    },
    { workerEntry: testWorker('dies-later') },
  );
  await expect(converting).rejects.toMatchObject({ code: 'ERR_WORKER', guestOffset: 0 });
  // Everything was converted before.
  expect([...phases]).toEqual(['convert']);
  expect(await namesBeside(target)).toEqual(before);
});
