/** A worker thread's work for one pool: engines are freed at its end, and cancelled items end early. */
import { closeSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Compressor, CompressorChoice, Decompressor } from '../../src/engines/codec.js';
import { createCompressor, createDecompressor } from '../../src/engines/create-engine.js';
import type { AnyTask } from '../../src/workers/messages/thread.js';
import { threadMemory } from '../../src/workers/tasks/thread-memory.js';
import { WorkerSession } from '../../src/workers/worker-session.js';
import { useScratch } from '../e2e/scratch.js';
import { makeSourceFile, type SourceFile } from './source-file.js';
import { memoryOf, runsSetupOf, SLOTS, setupOf } from './worker-setup.js';

vi.mock('../../src/engines/create-engine.js', async (original) => ({
  ...(await original<typeof import('../../src/engines/create-engine.js')>()),
  createCompressor: vi.fn(),
  createDecompressor: vi.fn(),
}));

const CLUSTER = 4096;
const ITEM = 4 * CLUSTER;
let [given, freed, packed] = [0, 0, 0];
const engine = (onWork: () => void) => {
  given += 1;
  let isFreed = false;
  const work = () => {
    expect(isFreed).toBe(false);
    packed += 1;
    onWork();
    return 5;
  };
  return {
    compress: work,
    decompress: work,
    salvage: work,
    free: () => {
      expect(isFreed).toBe(false);
      isFreed = true;
      freed += 1;
    },
  } satisfies Compressor & Decompressor;
};
let onWork = () => {};
beforeEach(() => {
  [given, freed, packed] = [0, 0, 0];
  onWork = () => {};
  vi.mocked(createCompressor).mockImplementation(async () => engine(() => onWork()));
  vi.mocked(createDecompressor).mockImplementation(async () => engine(() => onWork()));
});

const scratch = useScratch();
const DISK = Buffer.concat([1, 2, 3, 4].map((value) => Buffer.alloc(CLUSTER, value)));
let file: SourceFile;
beforeAll(() => {
  file = makeSourceFile(scratch('disk'), DISK, CLUSTER);
});
afterAll(() => closeSync(file.descriptor));

const choice = { type: 'zlib', engine: 'node', level: 1 } as unknown as CompressorChoice;
const memory = memoryOf(SLOTS * ITEM);
const packing = { ...setupOf(CLUSTER, ITEM), inflate: ['zlib'], compressor: choice } as const;
const reading = { itemSize: ITEM, inflate: ['zlib'], salvage: false, readAlignment: 1 } as const;
const segments = () => [0, 1, 2, 3].map((index) => file.compressed(0, index * CLUSTER, CLUSTER));

/** For each task a setup, and an item of four payloads. */
const WORK: readonly (readonly [string, () => AnyTask['setup'], () => AnyTask['item'], engines: number])[] = [
  ['clusters', () => packing, () => ({ segments: segments(), clusters: 4, length: ITEM, slot: 0 }), 2],
  [
    'runs',
    () => ({ ...runsSetupOf(ITEM), inflate: ['zlib'] }),
    () => ({ segments: segments(), length: ITEM, slot: 0 }),
    1,
  ],
  [
    'comparison',
    () => ({ ...reading, task: 'compare disks' }),
    () => ({ stretches: [{ at: 0, length: ITEM, segments: [segments(), []] }], slot: 0 }),
    1,
  ],
  [
    'examination',
    () => ({
      ...{ ...reading, task: 'examine payloads', inflate: [] },
      ...{ type: 'zlib', descriptor: file.descriptor, clusterSize: CLUSTER, streamFacts: false },
    }),
    () => ({
      slot: 0,
      payloads: Float64Array.from(segments().flatMap(({ at, payloads }) => [at, ...payloads.places])),
    }),
    1,
  ],
];

describe.each(WORK)('for %s', (_, setup, item, engines) => {
  test('each engine is freed once, with the pool', async () => {
    const session = await WorkerSession.create(setup(), memory);
    expect([given, freed]).toEqual([engines, 0]);
    session.run(item());
    expect(packed).toBeGreaterThanOrEqual(4);
    expect(freed).toBe(0);
    session.release();
    expect(freed).toBe(engines);
  });

  test('a cancelled item ends before its next piece', async () => {
    const cancellation = new Int32Array(new SharedArrayBuffer(4));
    onWork = () => {
      if (packed === 2) cancellation[0] = 1;
    };
    const session = await WorkerSession.create(setup(), { ...memory, cancellation });
    expect(() => session.run(item())).toThrow('the item was cancelled');
    expect(packed).toBe(2);
    session.release();
  });
});

test('an engine that fails to load leaves no other behind', async () => {
  vi.mocked(createCompressor).mockRejectedValue(new Error('no memory'));
  await expect(WorkerSession.create(packing, memory)).rejects.toThrow('no memory');
  expect([given, freed]).toEqual([1, 1]);
});

test('the next pool uses the memory of the one before', async () => {
  const make = vi.spyOn(threadMemory, 'take');
  const pieces = new Set<Uint8Array>();
  let taken = 0;
  for (let pool = 0; pool < 5; pool += 1) {
    const session = await WorkerSession.create(packing, memory);
    session.run(WORK[0]![2]());
    for (const { value } of make.mock.results) pieces.add(value as Uint8Array);
    taken = make.mock.results.length;
    session.release();
  }
  expect(taken).toBeGreaterThanOrEqual(10);
  // Any of those that are kept; each pool has two at a time.
  expect(pieces.size).toBeLessThan(taken / 2);
});
