import { readFileSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { expectGoodImage } from '../e2e/judge.js';
import { useScratch } from '../e2e/scratch.js';
import { namesBeside, randomBytes, textBytes } from '../e2e/source-images.js';
import { sample } from '../stage.js';
import { turn } from '../storage/promise-state.js';
import { convertHere } from './built-worker.js';
import { openFiles } from './open-files.js';

type Done = (error: NodeJS.ErrnoException | null, ...values: unknown[]) => void;
type SystemCall = (...args: unknown[]) => void;

/** Counts the target's system calls, and fails the call with the chosen number. */
const disk = vi.hoisted(() => ({
  operations: [] as { name: string; offset?: unknown; length?: unknown }[],
  /** Descriptors of the target, each with its writes under way. */
  descriptors: new Map<number, number>(),
  closedUnderWrites: [] as number[],
  shouldFail: (_number: number): boolean => false,
  /** Turns of the event loop that a write takes. */
  turnsOf: (_number: number): number => 2,
}));

function noSpace(): NodeJS.ErrnoException {
  return Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC', errno: -28 });
}

/** Counts one operation. @returns whether it is to fail */
function counts(name: string, facts: object = {}): boolean {
  disk.operations.push({ name, ...facts });
  return disk.shouldFail(disk.operations.length - 1);
}

vi.mock('node:fs', async (original) => {
  const actual = await original<typeof import('node:fs')>();
  const O_CREAT = actual.constants.O_CREAT;
  /** A call on the target's descriptor, given first; calls on other descriptors pass. */
  const failing =
    (name: 'ftruncate' | 'fdatasync' | 'fstat') =>
    (descriptor: number, ...args: unknown[]) => {
      const done = args.at(-1) as Done;
      if (disk.descriptors.has(descriptor) && counts(name)) return void setImmediate(() => done(noSpace()));
      (actual[name] as SystemCall)(descriptor, ...args);
    };
  const watched = {
    open: (path: string, flags: number, mode: number, done: Done) =>
      actual.open(path, flags, mode, (error, descriptor) => {
        if (error === null && (flags & O_CREAT) !== 0) disk.descriptors.set(descriptor, 0);
        done(error, descriptor);
      }),
    writev: (descriptor: number, buffers: Uint8Array[], position: number, done: Done) => {
      const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
      const underWay = (change: number) =>
        disk.descriptors.set(descriptor, (disk.descriptors.get(descriptor) ?? 0) + change);
      const fails = counts('writev', { offset: position, length });
      underWay(1);
      let turns = disk.turnsOf(disk.operations.length - 1);
      const step = () => {
        turns -= 1;
        if (turns > 0) return void setImmediate(step);
        if (fails) {
          underWay(-1);
          return done(noSpace());
        }
        actual.writev(descriptor, buffers, position, (error, written) => {
          underWay(-1);
          done(error, written);
        });
      };
      setImmediate(step);
    },
    read: (descriptor: number, into: Uint8Array, at: number, length: number, offset: number, done: Done) => {
      if (disk.descriptors.has(descriptor) && counts('read', { offset })) {
        return void setImmediate(() => done(noSpace()));
      }
      actual.read(descriptor, into, at, length, offset, done);
    },
    ftruncate: failing('ftruncate'),
    fdatasync: failing('fdatasync'),
    fstat: failing('fstat'),
    close: (descriptor: number, done: Done) => {
      const underWay = disk.descriptors.get(descriptor);
      if (underWay === undefined) return actual.close(descriptor, done);
      if (underWay > 0) disk.closedUnderWrites.push(descriptor);
      disk.descriptors.delete(descriptor);
      const fails = counts('close');
      // As on Linux: the descriptor is closed even if close reports an error.
      actual.close(descriptor, (error) => done(fails ? noSpace() : error));
    },
  };
  return { ...actual, ...watched, default: { ...actual, ...watched } };
});
vi.mock('node:fs/promises', async (original) => {
  const actual = await original<typeof import('node:fs/promises')>();
  const rename: typeof actual.rename = async (from, to) => {
    if (counts('rename')) throw noSpace();
    return actual.rename(from, to);
  };
  return { ...actual, rename, default: { ...actual, rename } };
});

const path = useScratch();
const raw = path('source.raw');
const target = path('target.qcow2');
const unhandled: unknown[] = [];
const noteRejection = (reason: unknown) => void unhandled.push(reason);

beforeAll(async () => {
  // Text, noise, zeros and text again, with an odd end.
  const part = (share: number) => Math.round(share * 150_001);
  await writeFile(
    raw,
    Buffer.concat([
      textBytes(part(0.4)),
      randomBytes(part(0.3)),
      Buffer.alloc(part(0.1)),
      textBytes(part(0.2)),
    ]),
  );
  await writeFile(path('small.raw'), readFileSync(raw).subarray(50_000, 66_001));
});
beforeEach(() => {
  process.on('unhandledRejection', noteRejection);
  disk.operations.length = 0;
  disk.shouldFail = () => false;
  disk.turnsOf = () => 2;
});
afterEach(() => {
  process.off('unhandledRejection', noteRejection);
  expect(unhandled.splice(0)).toEqual([]);
  expect(disk.closedUnderWrites.splice(0)).toEqual([]);
});

interface Setting extends Omit<ConvertOptions, 'sources' | 'target'> {
  readonly source: string;
}

async function convertOnce({ source, ...options }: Setting) {
  disk.operations.length = 0;
  return convertHere({
    ...options,
    compress: true,
    engine: 'node',
    threads: 1,
    sources: [source],
    sourceFormat: 'raw',
    target,
    targetFormat: 'qcow2',
  });
}

describe.each(
  sample<readonly [string, Setting]>(
    [
      ['clusters of 64 KiB', { source: raw }],
      ['clusters of 64 KiB, no cache', { source: raw, compressedCacheSize: 0 }],
      [
        'clusters of 4 KiB, one of them cached',
        { source: raw, create: { clusterSize: 4096 }, compressedCacheSize: 4096 },
      ],
      [
        'clusters of 512 bytes',
        { source: path('small.raw'), create: { clusterSize: 512, refcountBits: 64 } },
      ],
      [
        'clusters of 512 bytes, no cache, the page cache',
        {
          source: path('small.raw'),
          create: { clusterSize: 512 },
          compressedCacheSize: 0,
          targetCache: 'writeback',
        },
      ],
    ],
    1,
    2,
  ),
)('with %s', (_, setting) => {
  test('any failing operation on the target ends the conversion with its own error and leaves no file', async () => {
    await writeFile(target, 'the old image');
    const before = await namesBeside(target);
    await convertOnce(setting);
    await expectGoodImage(target, setting.source);
    const all = [...disk.operations];
    const names = new Set(all.map(({ name }) => name));
    for (const name of ['writev', 'fdatasync', 'fstat', 'close', 'rename']) expect(names).toContain(name);
    // A file that ends with normal clusters has its length already.
    expect(names.has('ftruncate')).toBe(statSync(target).size % 4096 !== 0);
    await writeFile(target, 'the old image');
    const old = statSync(target);
    const descriptors = openFiles();

    for (const failing of sample([...all.keys()], 12, all.length)) {
      disk.shouldFail = (number) => number === failing;
      const error = await convertOnce(setting).then(
        () => undefined,
        (reason) => reason,
      );
      const failed = disk.operations[failing]!;
      expect({ failing, failed, error }).toMatchObject({
        error: {
          name: 'Qcow2cError',
          code: 'ERR_IO',
          systemCode: 'ENOSPC',
          file: target,
          message: expect.stringMatching(new RegExp(`'.*${basename(target)}'.*: No space left on device$`)),
          // A read that the system cut in two is told by where it began.
          offset: failed.name === 'read' ? expect.any(Number) : failed.offset,
          ...(failed.length === undefined ? {} : { expected: failed.length }),
          cause: { code: 'ENOSPC' },
        },
      });
      expect(await namesBeside(target)).toEqual(before);
      expect(readFileSync(target, 'utf8')).toBe('the old image');
      expect(statSync(target).ino).toBe(old.ino);
      await turn();
      expect([failing, openFiles()]).toEqual([failing, descriptors]);
    }
    disk.shouldFail = () => false;
    await convertOnce(setting);
    await expectGoodImage(target, setting.source);
  });

  test('a disk that becomes full ends the conversion with the error of a failed write', async () => {
    await convertOnce(setting);
    const { length } = disk.operations.filter(({ name }) => name === 'writev');
    const descriptors = openFiles();
    const before = await namesBeside(target);
    for (const from of new Set([0, 1, Math.floor(length / 2), length - 1])) {
      let writes = 0;
      const full: unknown[] = [];
      disk.shouldFail = (number) => {
        const { name, offset } = disk.operations[number]!;
        if (name !== 'writev' || writes++ < from) return false;
        full.push(offset);
        return true;
      };
      const error = await convertOnce(setting).catch((reason) => reason);
      expect(error).toMatchObject({ code: 'ERR_IO', systemCode: 'ENOSPC', file: target });
      expect(full).toContain(error.offset);
      expect(await namesBeside(target)).toEqual(before);
      await turn();
      expect(openFiles()).toBe(descriptors);
    }
  });
});

test('an aborted conversion closes no descriptor with writes in flight or queued', async () => {
  const compressible = Buffer.concat(
    Array.from({ length: 160 }, (_, seed) =>
      Buffer.concat([randomBytes(45_000, seed), Buffer.alloc(20_536, 1)]),
    ),
  );
  await writeFile(path('large.raw'), compressible);
  const before = await namesBeside(target);
  const descriptors = openFiles();
  // The writes take turns of different length: when one is over, the other writer is in the middle of its own.
  for (const turns of [50, 200, 1000]) {
    disk.operations.length = 0;
    disk.turnsOf = (number) => turns * (1 + (number % 3));
    const controller = new AbortController();
    const converting = convertHere({
      compress: true,
      engine: 'node',
      threads: 2,
      sources: [path('large.raw')],
      sourceFormat: 'raw',
      target,
      signal: controller.signal,
      onProgress: () => {
        if (disk.operations.length >= 2) controller.abort();
      },
    });
    await expect(converting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(disk.closedUnderWrites).toEqual([]);
    expect(await namesBeside(target)).toEqual(before);
    // A thread that ended keeps its own descriptors for a moment.
    await vi.waitFor(() => expect(openFiles()).toBe(descriptors));
  }
});
