/**
 * What a power failure at any moment leaves of a conversion. Every write, truncation, sync and renaming of a real
 * run is recorded; then each prefix of that history is cut off, with everything durable that was synced and any
 * choice of what was not. Whenever the target has its name, it must be the whole image.
 */

import * as fs from 'node:fs';
import fc from 'fast-check';
import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { useScratch } from '../e2e/scratch.js';
import { convertHere } from './built-worker.js';

/** What reached the system, in the order in which it was done; a sync stands where it was asked for. */
type Step =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly length: number }
  | { readonly kind: 'sync' }
  | { readonly kind: 'rename' }
  | { readonly kind: 'sync-directory' };

const history = vi.hoisted(() => [] as Step[]);

vi.mock('node:fs', async (importOriginal) => {
  const actual = await importOriginal<typeof import('node:fs')>();
  return {
    ...actual,
    writev(fd: number, buffers: Uint8Array[], offset: number, done: (...results: unknown[]) => void) {
      const bytes = Buffer.concat(buffers);
      actual.writev(fd, buffers, offset, (error, written) => {
        if (error === null) history.push({ kind: 'write', offset, bytes: bytes.subarray(0, written) });
        done(error, written);
      });
    },
    ftruncate(fd: number, length: number, done: (error: Error | null) => void) {
      actual.ftruncate(fd, length, (error) => {
        if (error === null) history.push({ kind: 'truncate', length });
        done(error);
      });
    },
    fdatasync(fd: number, done: (error: Error | null) => void) {
      // What is done while it runs need not be in it.
      history.push({ kind: 'sync' });
      actual.fdatasync(fd, done);
    },
  };
});

vi.mock('node:fs/promises', async (importOriginal) => {
  const actual = await importOriginal<typeof import('node:fs/promises')>();
  return {
    ...actual,
    async rename(from: string, to: string) {
      await actual.rename(from, to);
      history.push({ kind: 'rename' });
    },
    async open(path: string, flags: number) {
      const handle = await actual.open(path, flags);
      const real = handle.sync.bind(handle);
      const sync = async () => {
        await real();
        history.push({ kind: 'sync-directory' });
      };
      return Object.assign(handle, { sync });
    },
  };
});

const path = useScratch();
const source = path('source.raw');
const target = path('target.qcow2');

beforeAll(() => {
  const text = Buffer.alloc(150_000, 'a text that is compressed, over and over. ');
  fs.writeFileSync(source, Buffer.concat([text, Buffer.alloc(200_000), Buffer.from(text).reverse()]));
});
beforeEach(() => {
  history.length = 0;
});

/** Runs a conversion. @returns the finished image */
async function run(options: Partial<ConvertOptions>): Promise<Buffer> {
  await convertHere({
    sources: [source],
    sourceFormat: 'raw',
    target,
    targetFormat: 'qcow2',
    compress: true,
    ...options,
  });
  return fs.readFileSync(target);
}

/** The file after `steps`, each of which was done, to a file that held nothing. */
function fileAfter(steps: readonly Step[]): Buffer {
  let file = Buffer.alloc(0);
  const lengthen = (length: number) => {
    if (length > file.length) file = Buffer.concat([file, Buffer.alloc(length - file.length)]);
  };
  for (const step of steps) {
    if (step.kind === 'write') {
      lengthen(step.offset + step.bytes.length);
      step.bytes.copy(file, step.offset);
    } else if (step.kind === 'truncate') {
      lengthen(step.length);
      file = file.subarray(0, step.length);
    }
  }
  return file;
}

/**
 * What has the target's name after a power failure.
 * @param steps that were done before
 * @param survives of the n-th change that was not synced: whether it is there nevertheless
 * @returns undefined: nothing new
 */
function afterPowerLoss(steps: readonly Step[], survives: (n: number) => boolean): Buffer | undefined {
  const lastSync = steps.findLastIndex(({ kind }) => kind === 'sync');
  const renamed = steps.findIndex(({ kind }) => kind === 'rename');
  const isNameDurable = steps.some(({ kind }) => kind === 'sync-directory');
  let n = 0;
  const left = steps.filter((_, index) => index < lastSync || survives(n++));
  if (renamed < 0 || !(isNameDurable || survives(n))) return undefined;
  return fileAfter(left);
}

/** Whether the power may fail at any of these steps without a loss of the image's promise. */
function isSafe(image: Buffer): boolean {
  const outcome = fc.check(
    fc.property(fc.nat(history.length), fc.array(fc.boolean(), { minLength: 1 }), (count, choices) => {
      const survives = (n: number) => choices[n % choices.length] as boolean;
      const found = afterPowerLoss(history.slice(0, count), survives);
      return found === undefined || found.equals(image);
    }),
    { numRuns: 500 },
  );
  return !outcome.failed;
}

describe('a power failure at any moment', () => {
  test.each<[string, Partial<ConvertOptions>]>([
    ['of a compressed image', {}],
    ['of an image in many small writes', { compressedCacheSize: 0, create: { clusterSize: 4096 } }],
    ['of an image that is not compressed', { compress: false }],
    ['through the page cache', { targetCache: 'writeback' }],
    ['of a raw disk', { compress: false, targetFormat: 'raw' }],
  ])('%s leaves the name with all of it, or without it', async (_, options) => {
    const image = await run(options);
    expect(fileAfter(history).equals(image)).toBe(true);
    expect(history.map(({ kind }) => kind).filter((kind) => kind !== 'write')).toContain('sync-directory');
    expect(isSafe(image)).toBe(true);
  });

  test('would be found to leave half an image where nothing is synced', async () => {
    expect(isSafe(await run({ targetCache: 'unsafe' }))).toBe(false);
  });
});
