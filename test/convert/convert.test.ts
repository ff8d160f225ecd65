import { createHash } from 'node:crypto';
import { readFileSync, statSync, truncateSync, utimesSync } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { Qcow2cError } from '../../src/errors.js';
import { ITEM_BYTES } from '../../src/workers/plan.js';
import { expectGoodImage } from '../e2e/judge.js';
import { useScratch } from '../e2e/scratch.js';
import { makeSparseDisk, namesBeside, randomBytes, textBytes } from '../e2e/source-images.js';
import { joined, records, text } from '../engines/samples.js';
import { convert as convertByQemu } from '../oracle/qemu-img.js';
import { shortened } from '../stage.js';
import { turn } from '../storage/promise-state.js';
import { convertHere, testWorker } from './built-worker.js';
import { openFiles } from './open-files.js';

const path = useScratch();
const MIB = 1024 * 1024;
const CLUSTER = 65_536;
const raw = path('source.raw');
const target = path('target.qcow2');
/** A thread that died keeps its own descriptors for a moment. */
const expectOpenFiles = (count: number) => vi.waitFor(() => expect(openFiles()).toBe(count));
const digestOf = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

const unhandled: unknown[] = [];
const noteRejection = (reason: unknown) => void unhandled.push(reason);
beforeEach(() => process.on('unhandledRejection', noteRejection));
afterEach(async () => {
  await turn();
  process.off('unhandledRejection', noteRejection);
  expect(unhandled.splice(0)).toEqual([]);
});

beforeAll(() =>
  // More items than any number of threads has slots for: text, noise, holes, zeros, an odd end.
  makeSparseDisk(raw, 24 * MIB + 513, [
    [0, textBytes(MIB / 4)],
    [5 * MIB + 4096, randomBytes(MIB / 4)],
    [9 * MIB, Buffer.alloc(MIB)],
    [11 * MIB - 100, textBytes(MIB / 4)],
    [14 * MIB, Buffer.alloc(MIB / 2, 0xa5)],
    [20 * MIB - 200_000, Buffer.concat([randomBytes(100_000, 2), textBytes(MIB / 2)])],
    [24 * MIB + 512, Buffer.from('!')],
  ]),
);

describe('the same source and options', () => {
  const ONE = { threads: 1 } as const;
  const UNCACHED = { threads: 5, sourceCache: 'none', targetCache: 'writeback' } as const;
  const PACKED = { threads: 2, compressedCacheSize: CLUSTER } as const;
  type Ways = readonly Pick<
    ConvertOptions,
    'threads' | 'sourceCache' | 'targetCache' | 'compressedCacheSize'
  >[];

  test.each(
    shortened<readonly [string, Omit<ConvertOptions, 'sources' | 'target'>, Ways]>(
      [
        ['zlib', { compress: true }, [ONE, { threads: 2 }, { threads: 5 }, UNCACHED, PACKED]],
        [
          'zstd with clusters of 4 KiB',
          { compress: true, create: { compressionType: 'zstd', clusterSize: 4096 } },
          [UNCACHED, PACKED],
        ],
        [
          'zlib with clusters of 512 bytes and refcounts of 2 bits',
          { compress: true, create: { clusterSize: 512, refcountBits: 2 } },
          [ONE, { threads: 5 }],
        ],
        ['every cluster stored', { sparseSize: 0 }, [ONE, UNCACHED]],
      ],
      2,
    ),
  )(
    'give the same bytes with 1, 2 and 5 threads, without the write cache and without the page cache: %s',
    async (_, options, ways) => {
      const digests: string[] = [];
      for (const way of shortened(ways, 3)) {
        const result = await convertHere({ ...options, ...way, sources: [raw], sourceFormat: 'raw', target });
        expect(result.threads).toBe(way.threads);
        if (digests.length === 0) {
          await expectGoodImage(target, raw);
          expect(result).toMatchObject({ virtualSize: 24 * MIB + 1024, fileSize: statSync(target).size });
        }
        digests.push(digestOf(target));
      }
      expect(digests).toEqual(digests.map(() => digests[0]));
    },
  );
});

test('the result names each engine and level that is chosen by content once', async () => {
  const options = { sources: [raw], sourceFormat: 'raw', target, compress: true } as const;
  const { byContent } = await convertHere({ ...options, engine: 'node' });
  expect(byContent).toEqual([4, 5, 6, 7, 8].map((level) => ({ engine: 'node', level })));
});

describe('an image with some incompressible clusters', () => {
  const COUNT = 96;
  // Half prose, half tables: about as compressible as a disk.
  const compressible = (seed: number) => joined(text(CLUSTER / 2, seed), records(CLUSTER / 2, seed));

  test.each(shortened([0.5, 0.05], 1))(
    'in random places, a share of %d, is no more than a part of a cluster larger than qemu-img’s',
    async (share) => {
      const dice = randomBytes(COUNT, share * 100);
      const disk = path('some.raw');
      const clusters = Array.from({ length: COUNT }, (_, index) =>
        dice[index]! < share * 256 ? randomBytes(CLUSTER, 1000 + index) : compressible(index + 1),
      );
      await writeFile(disk, Buffer.concat(clusters));
      await convertByQemu(['-c'], [disk], path('theirs.qcow2'));
      const result = await convertHere({ sources: [disk], sourceFormat: 'raw', target, compress: true });
      expect(result.normalClusters).toBe([...dice].filter((value) => value < share * 256).length);
      await expectGoodImage(target, disk);
      // Normal clusters come last, behind a host cluster that compressed ones need not fill.
      const theirs = (await stat(path('theirs.qcow2'))).size;
      expect(result.fileSize).toBeLessThan(theirs + CLUSTER);
      // What the layout costs besides the payloads: tables, and less than a cluster for each run of 2 MiB.
      const payloads = result.compressedBytes + result.normalClusters * CLUSTER;
      const runs = Math.ceil(result.normalClusters / 32) + 1;
      expect(result.fileSize - payloads).toBeLessThan((5 + runs) * CLUSTER);
    },
  );
});

describe('a worker that', () => {
  test.each(
    shortened(
      [
        ['throws', 'throws', /the engine is broken/],
        ['ends its thread', 'exits', /exited with code: 3/],
        ['runs out of memory', 'runs-out-of-memory', /memory limit/],
        ['cannot be loaded', 'throws-at-load', /the engine is not installed/],
        ['ends its thread while it is loaded', 'exits-at-load', /exited with code: 3/],
      ] as const,
      3,
    ),
  )('%s ends the conversion with guest offset and cause, and leaves no file', async (_, worker, reason) => {
    await writeFile(target, 'the old image');
    await turn();
    const before = await namesBeside(target);
    const descriptors = openFiles();
    const parts = { workerEntry: testWorker(worker) };
    const options = {
      sources: [raw],
      sourceFormat: 'raw',
      target,
      targetFormat: 'qcow2',
      compress: true,
      threads: 2,
    } as const;
    await expect(convertHere(options, parts)).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_WORKER',
        guestOffset: 0,
        message: expect.stringMatching(reason),
        cause: expect.objectContaining({ message: expect.stringMatching(reason) }),
      }),
    );
    expect(await namesBeside(target)).toEqual(before);
    expect(readFileSync(target, 'utf8')).toBe('the old image');
    await expectOpenFiles(descriptors);
  });
});

describe('a source that', () => {
  const SIZE = 24 * MIB;
  const changing = path('changing.raw');
  beforeEach(() => writeFile(changing, randomBytes(SIZE)));

  /** Converts, and calls `change` when the first item is stored and most are not yet read. */
  async function convertWhile(change: () => void, when = 0): Promise<unknown> {
    await writeFile(target, 'the old image');
    let isChanged = false;
    const descriptors = openFiles();
    const before = await namesBeside(target);
    const error = await convertHere({
      sources: [changing],
      sourceFormat: 'raw',
      target,
      targetFormat: 'qcow2',
      compress: true,
      threads: 2,
      onProgress: ({ guestBytesDone }) => {
        if (isChanged || guestBytesDone <= when) return;
        isChanged = true;
        change();
      },
    }).catch((reason: unknown) => reason);
    expect(isChanged).toBe(true);
    expect(await namesBeside(target)).toEqual(before);
    expect(readFileSync(target, 'utf8')).toBe('the old image');
    await expectOpenFiles(descriptors);
    return error;
  }

  test('becomes shorter is detected by the short read', async () => {
    const length = 20 * MIB + 5000;
    expect(await convertWhile(() => truncateSync(changing, length))).toMatchObject({
      code: 'ERR_SOURCE_CHANGED',
      file: changing,
      offset: 20 * MIB,
      expected: ITEM_BYTES,
      found: 5000,
    });
  });

  test('loses only bytes that were already read is detected at the end', async () => {
    const length = SIZE - 512;
    expect(await convertWhile(() => truncateSync(changing, length), SIZE - 1)).toMatchObject({
      code: 'ERR_SOURCE_CHANGED',
      expected: SIZE,
      found: length,
    });
  });

  test('is written to, or only touched, is detected at the end', async () => {
    expect(await convertWhile(() => utimesSync(changing, 1, 1))).toMatchObject({
      code: 'ERR_SOURCE_CHANGED',
      file: changing,
      expected: SIZE,
      found: SIZE,
    });
  });
});

test('the signal aborts a conversion at any time before its last tables, and no file is left', async () => {
  const items = Math.ceil(statSync(raw).size / ITEM_BYTES);
  const before = await namesBeside(target);
  const descriptors = openFiles();
  for (const after of [0, 7, items - 1]) {
    const controller = new AbortController();
    let calls = 0;
    const converting = convertHere({
      sources: [raw],
      sourceFormat: 'raw',
      target,
      targetFormat: 'qcow2',
      compress: true,
      threads: 2,
      signal: controller.signal,
      onProgress: ({ guestBytesDone, guestBytes }) => {
        if (calls++ === after || guestBytesDone === guestBytes) controller.abort(`call ${after}`);
      },
    });
    await expect(converting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(await namesBeside(target)).toEqual(before);
    await expectOpenFiles(descriptors);
  }
});

test('conversions in one process are independent', async () => {
  const targets = ['a', 'b', 'c'].map((name) => path(`${name}.qcow2`));
  await Promise.all(
    targets.map((name) =>
      convertHere({ sources: [raw], sourceFormat: 'raw', target: name, compress: true, threads: 2 }),
    ),
  );
  expect(new Set(targets.map(digestOf)).size).toBe(1);
});

describe('impossible options are refused before any file is created', () => {
  test.each<readonly [string, Partial<ConvertOptions>, string]>([
    ['no source', { sources: [] }, 'ERR_USAGE'],
    ['no threads', { threads: 0 }, 'ERR_USAGE'],
    ['half a thread', { threads: 1.5 }, 'ERR_USAGE'],
    ['more threads than allowed', { threads: 1024 }, 'ERR_USAGE'],
    ['compressed raw output', { targetFormat: 'raw', compress: true }, 'ERR_USAGE'],
    ['a raw disk with a backing file', { targetFormat: 'raw', create: { backingFile: 'b' } }, 'ERR_USAGE'],
    ['bitmaps in a raw disk', { targetFormat: 'raw', bitmaps: 'all' }, 'ERR_USAGE'],
    ['bitmaps of a raw disk', { bitmaps: 'all' }, 'ERR_USAGE'],
    ['a snapshot of a raw disk', { snapshot: { idOrName: 'one' } }, 'ERR_USAGE'],
    ['a backing file of an unstated format', { create: { backingFile: 'source.raw' } }, 'ERR_USAGE'],
    ['a missing backing file', { create: { backingFile: 'no.raw', backingFormat: 'raw' } }, 'ERR_IO'],
    ['compression beside a data file', { compress: true, create: { dataFile: 'd' } }, 'ERR_USAGE'],
    ['a cache smaller than a cluster', { compress: true, compressedCacheSize: CLUSTER - 1 }, 'ERR_USAGE'],
    ['a cache size that is not a number', { compress: true, compressedCacheSize: Number.NaN }, 'ERR_USAGE'],
    ['a cache larger than any memory', { compress: true, compressedCacheSize: 2 ** 32 + 1 }, 'ERR_USAGE'],
    ['clusters of 3000 bytes', { create: { clusterSize: 3000 } }, 'ERR_USAGE'],
    ['level 99', { compress: true, compressionLevel: 99 }, 'ERR_USAGE'],
    ['the source as target', { target: raw }, 'ERR_USAGE'],
    ['a target that is a directory', { target: path('') }, 'ERR_IO'],
    ['a target below a file', { target: path('source.raw', 'below') }, 'ERR_IO'],
    ['an aborted signal', { signal: AbortSignal.abort() }, 'ERR_ABORTED'],
  ])('%s', async (_, options, code) => {
    const before = await namesBeside(raw);
    const descriptors = openFiles();
    const converting = convertHere({
      sources: [raw],
      sourceFormat: 'raw',
      target: path('never.qcow2'),
      ...options,
    });
    const error = await converting.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Qcow2cError);
    expect(error).toMatchObject({ code });
    expect(await namesBeside(raw)).toEqual(before);
    await expectOpenFiles(descriptors);
  });
});
