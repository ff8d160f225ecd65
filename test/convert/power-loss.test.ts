/**
 * The result of a power failure at any moment of a conversion. Every write, truncation, sync and renaming of a real run
 * is recorded; then each prefix of that history is cut off, with everything durable that was synced and any choice of
 * what was not. Whenever the target has its name, it must be the whole image.
 */
import * as fs from 'node:fs';
import { constants, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { useScratch } from '../e2e/scratch.js';
import { create } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { tries } from '../stage.js';
import { convertHere } from './built-worker.js';

/** What reached the system, in the order in which it was done; a sync stands where it was asked for. */
type Step =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly length: number }
  | { readonly kind: 'punch'; readonly offset: number; readonly length: number }
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
      // Operations during a sync need not be covered by it.
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

vi.mock('../../src/system/libc.js', async (importOriginal) => {
  const actual = await importOriginal<typeof import('../../src/system/libc.js')>();
  return {
    ...actual,
    async fallocate(fd: number, mode: number, offset: number, length: number) {
      const refused = await actual.fallocate(fd, mode, offset, length);
      if (refused === undefined && mode === actual.PUNCH_HOLE)
        history.push({ kind: 'punch', offset, length });
      return refused;
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

/** The file after `steps`, all completed. @param before its old content; default: empty */
function fileAfter(steps: readonly Step[], before: Buffer = Buffer.alloc(0)): Buffer {
  let file: Buffer = Buffer.from(before);
  const lengthen = (length: number) => {
    if (length > file.length) file = Buffer.concat([file, Buffer.alloc(length - file.length)]);
  };
  for (const step of steps) {
    if (step.kind === 'write') {
      lengthen(step.offset + step.bytes.length);
      step.bytes.copy(file, step.offset);
    } else if (step.kind === 'punch') {
      file.fill(0, step.offset, Math.min(file.length, step.offset + step.length));
    } else if (step.kind === 'truncate') {
      lengthen(step.length);
      file = file.subarray(0, step.length);
    }
  }
  return file;
}

/**
 * The content under the target's name after a power failure.
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
function isSafe(image: Buffer, numRuns?: number): boolean {
  return everyLoss((steps, survives) => {
    const found = afterPowerLoss(steps, survives);
    return found === undefined || found.equals(image);
  }, numRuns);
}

/**
 * Whether `holds` for every prefix of the history, and any choice of what of it was not synced and is there.
 * @param numRuns how often it is tried; not to be shortened by a test that must find a loss
 */
function everyLoss(
  holds: (steps: readonly Step[], survives: (n: number) => boolean) => boolean,
  numRuns = tries(500),
): boolean {
  const losses = fc.property(
    fc.nat(history.length),
    fc.array(fc.boolean(), { minLength: 1 }),
    (count, choices) => holds(history.slice(0, count), (n) => choices[n % choices.length] as boolean),
  );
  return !fc.check(losses, { numRuns }).failed;
}

describe('a power failure at any moment', () => {
  test.each<[string, Partial<ConvertOptions>]>([
    ['of a compressed image', {}],
    ['of an image in many small writes', { compressedCacheSize: 0, create: { clusterSize: 4096 } }],
    ['of an image that is not compressed', { compress: false }],
    ['through the page cache', { targetCache: 'writeback' }],
    ['of a raw disk', { compress: false, targetFormat: 'raw' }],
  ])('%s leaves the complete image under its name, or no image', async (_, options) => {
    const image = await run(options);
    expect(fileAfter(history).equals(image)).toBe(true);
    expect(history.map(({ kind }) => kind).filter((kind) => kind !== 'write')).toContain('sync-directory');
    expect(isSafe(image)).toBe(true);
  });

  test('would leave an incomplete image without syncs, which this test detects', async () => {
    expect(isSafe(await run({ targetCache: 'unsafe' }), 500)).toBe(false);
  });
});

describe('a power failure during writing into an existing image', () => {
  const DISK = 512 * 1024;
  const CLUSTER = 4096;
  /** Bits 9 to 55 of an L1 or L2 entry. */
  const OFFSET = 0x00fffffffffffe00n;
  const pristine = path('pristine.qcow2');
  let before: Buffer;

  beforeAll(async () => {
    await create(pristine, DISK, ['-o', 'cluster_size=4k']);
    await qemuIo(pristine, ['write -P 7 0 300k', 'write -P 8 400k 100k']);
    await runOk('qemu-img', ['snapshot', '-c', 'one', pristine]);
    await qemuIo(pristine, ['write -P 9 50k 100k']);
    before = fs.readFileSync(pristine);
  });

  /** The disk of the guest, now or in the snapshot. Entries are followed with any flags. */
  function seen(file: Buffer, ofSnapshot = false): string {
    const l1At = ofSnapshot ? Number(file.readBigUInt64BE(64)) : 40;
    const entry = (at: number) => file.readBigUInt64BE(at);
    const l2 = Number(entry(Number(entry(l1At))) & OFFSET);
    const disk = Buffer.alloc(DISK);
    for (let index = 0; index < DISK / CLUSTER; index += 1) {
      const raw = entry(l2 + index * 8);
      if (raw === 0n) continue;
      const isCompressed = (raw & (1n << 62n)) !== 0n;
      // Of clusters of 4 KiB the lowest 58 bits of a compressed cluster's descriptor are the offset.
      const offset = Number(isCompressed ? raw & ((1n << 58n) - 1n) : raw & OFFSET);
      const bytes = file.subarray(offset, offset + CLUSTER);
      const cluster = isCompressed ? inflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }) : bytes;
      cluster.copy(disk, index * CLUSTER);
    }
    return disk.toString('latin1');
  }

  test.each<[string, Partial<ConvertOptions>]>([
    ['compressed', {}],
    ['not compressed', { compress: false }],
    ['compressed, through the page cache', { targetCache: 'writeback' }],
  ])('%s leaves the complete old or new disk, and the snapshot', async (_, options) => {
    const kinds = new Set<string>();
    for (let round = 0; round < 2; round += 1) {
      // The second round writes into space that the first has given back, and cuts the file.
      const old = round === 0 ? before : fs.readFileSync(target);
      if (round === 0) fs.writeFileSync(target, old);
      history.length = 0;
      const image = await run({ keepTarget: true, targetFormat: 'qcow2', ...options });
      expect(fileAfter(history, old).equals(image)).toBe(true);
      for (const { kind } of history) kinds.add(kind);
      const states = [seen(old), seen(image)];
      const snapshot = seen(before, true);
      expect(seen(image, true)).toBe(snapshot);
      const left = (steps: readonly Step[], survives: (n: number) => boolean) => {
        const lastSync = steps.findLastIndex(({ kind }) => kind === 'sync');
        let n = 0;
        return fileAfter(
          steps.filter((_, index) => index < lastSync || survives(n++)),
          old,
        );
      };
      const isWhole = (steps: readonly Step[], survives: (n: number) => boolean) => {
        const file = left(steps, survives);
        return states.includes(seen(file)) && seen(file, true) === snapshot;
      };
      expect(everyLoss(isWhole, tries(150))).toBe(true);
    }
    expect(kinds).toContain('punch');
  });

  test('would destroy both without syncs, which this test detects', async () => {
    fs.writeFileSync(target, before);
    const image = await run({ keepTarget: true, targetFormat: 'qcow2', targetCache: 'unsafe' });
    const states = [seen(before), seen(image)];
    const isWhole = (steps: readonly Step[], survives: (n: number) => boolean) => {
      let n = 0;
      try {
        return states.includes(
          seen(
            fileAfter(
              steps.filter(() => survives(n++)),
              before,
            ),
          ),
        );
      } catch {
        return false;
      }
    };
    expect(everyLoss(isWhole, 500)).toBe(false);
  });
});
