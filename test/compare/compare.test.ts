/** Tests the comparison as a library call: modelled disks, refusals, and its end. */
import * as fs from 'node:fs';
import { appendFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { CompareOptions } from '../../src/compare/options.js';
import type { ImageReference } from '../../src/image/image-reference.js';
import type { Progress } from '../../src/workers/progress.js';
import { openFiles } from '../convert/open-files.js';
import { useScratch } from '../e2e/scratch.js';
import { makeHoles, textBytes } from '../e2e/source-images.js';
import * as qemuImg from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';
import { tries } from '../stage.js';
import { compareHere } from './run-compare.js';

const scratch = useScratch();
const SECTOR = 512;

/** Sectors of zeros and of words, by what each holds: 0 is zeros. */
function diskOf(sectors: readonly number[]): Buffer {
  return Buffer.concat(sectors.map((word) => Buffer.alloc(SECTOR, word === 0 ? '\0' : `sector ${word} `)));
}

const FORMS = {
  raw: async (path: string, bytes: Buffer) => {
    await writeFile(path, bytes);
    return 'raw';
  },
  'raw with holes': async (path: string, bytes: Buffer) => {
    await makeHoles(path, bytes);
    return 'raw';
  },
  'clusters of 512': (path: string, bytes: Buffer) => qcow2(path, bytes, ['-o', 'cluster_size=512']),
  plain: (path: string, bytes: Buffer) => qcow2(path, bytes, ['-o', 'cluster_size=4k']),
  zlib: (path: string, bytes: Buffer) => qcow2(path, bytes, ['-c', '-o', 'cluster_size=4k']),
  zstd: (path: string, bytes: Buffer) =>
    qcow2(path, bytes, ['-c', '-o', 'cluster_size=16k,compression_type=zstd,extended_l2=on']),
  overlay: async (path: string, bytes: Buffer) => {
    // The backing file differs after about the first 5000 bytes.
    const base = Buffer.concat([bytes.subarray(0, 10 * SECTOR), Buffer.alloc(3 * SECTOR, 'other')]);
    await qcow2(`${path}.base`, base, ['-c', '-o', 'cluster_size=1k']);
    await writeFile(`${path}.raw`, bytes);
    const layers = ['-f', 'qcow2', '-b', `${path}.base`, '-F', 'qcow2'];
    await runOk('qemu-img', ['create', '-q', ...layers, '-o', 'cluster_size=2k', path, String(bytes.length)]);
    const rest = bytes.subarray(8 * SECTOR);
    if (rest.length === 0) return 'qcow2';
    await writeFile(`${path}.rest`, rest);
    const write = `write -q -s ${path}.rest ${8 * SECTOR} ${rest.length}`;
    await runOk('qemu-io', ['-f', 'qcow2', '-c', write, path]);
    return 'qcow2';
  },
} as const satisfies Record<string, (path: string, bytes: Buffer) => Promise<'raw' | 'qcow2'>>;

async function qcow2(path: string, bytes: Buffer, options: readonly string[]): Promise<'qcow2'> {
  await writeFile(`${path}.raw`, bytes);
  await qemuImg.convert(options, [`${path}.raw`], path);
  return 'qcow2';
}

const form = fc.constantFrom(...(Object.keys(FORMS) as (keyof typeof FORMS)[]));
const sectors = fc.array(fc.oneof(fc.constant(0), fc.nat(3)), { maxLength: 60 });

async function make(name: string, kind: keyof typeof FORMS, bytes: Buffer): Promise<ImageReference> {
  const file = scratch(name);
  fs.rmSync(file, { force: true });
  return { file, format: await FORMS[kind](file, bytes) };
}

/** The expected result for two disks. */
function modelVerdict(one: readonly number[], other: readonly number[]) {
  const length = Math.max(one.length, other.length);
  for (let sector = 0; sector < length; sector += 1) {
    if ((one[sector] ?? 0) !== (other[sector] ?? 0)) {
      return { kind: 'different-content', offset: sector * SECTOR };
    }
  }
  return { kind: 'identical' };
}

describe('any two disks in any two formats', () => {
  test('differ at the first sector with different bytes', async () => {
    const changes = fc.array(fc.tuple(fc.nat(59), fc.nat(3)), { maxLength: 3 });
    const cut = fc.oneof(fc.constant(60), fc.nat(60));
    await fc.assert(
      fc.asyncProperty(form, form, sectors, changes, cut, async (a, b, one, changed, most) => {
        const other = one.slice(0, most);
        for (const [sector, word] of changed) if (sector < other.length) other[sector] = word;
        const images = [await make('one', a, diskOf(one)), await make('other', b, diskOf(other))] as const;
        const { verdict, sizes } = await compareHere({ images, threads: 1 });
        expect(verdict).toEqual(modelVerdict(one, other));
        expect(sizes).toEqual([one.length * SECTOR, other.length * SECTOR]);
        if (one.length === other.length) return;
        expect((await compareHere({ images, strict: true })).verdict).toEqual({ kind: 'different-size' });
      }),
      { numRuns: tries(100) },
    );
  });
});

const MIB = 2 ** 20;
const SIZE = 12 * MIB;

describe('a comparison', () => {
  const raw = scratch('disk.raw');
  const image = scratch('disk.qcow2');
  beforeAll(async () => {
    await writeFile(raw, textBytes(SIZE));
    await qemuImg.convert(['-c', '-o', 'compression_type=zstd'], [raw], image);
  });
  const options: CompareOptions = {
    images: [
      { file: raw, format: 'raw' },
      { file: image, format: 'qcow2' },
    ],
  };

  test('gives the same result and progress with any number of threads', async () => {
    for (const threads of [1, 2, 5]) {
      const seen: Progress[] = [];
      const { verdict } = await compareHere({ ...options, threads, onProgress: (now) => seen.push(now) });
      expect(verdict).toEqual({ kind: 'identical' });
      expect(seen.at(-1)).toMatchObject({ guestBytesDone: SIZE, guestBytes: SIZE });
      expect(seen.map(({ guestBytesDone }) => guestBytesDone)).toEqual(
        seen.map(({ guestBytesDone }) => guestBytesDone).sort((a, b) => a - b),
      );
    }
  });

  test('reports the first of many differences, for any order of answers', async () => {
    const changed = scratch('changed.raw');
    const bytes = textBytes(SIZE);
    for (let at = 5 * MIB + 100; at < SIZE; at += MIB) bytes[at] = 0;
    await writeFile(changed, bytes);
    const seen: Progress[] = [];
    const images = [{ file: changed, format: 'raw' }, options.images[1]] as const;
    for (let run = 0; run < 3; run += 1) {
      const { verdict } = await compareHere({ images, threads: 4, onProgress: (now) => seen.push(now) });
      expect(verdict).toEqual({ kind: 'different-content', offset: 5 * MIB });
    }
    expect(Math.max(...seen.map(({ guestBytesDone }) => guestBytesDone))).toBeLessThan(6 * MIB);
  });

  test('of an image with itself reads its payloads: a broken payload is unreadable on both sides', async () => {
    const broken = scratch('broken.qcow2');
    fs.copyFileSync(image, broken);
    // No payload survives; the tables come before them.
    const { size } = fs.statSync(broken);
    const descriptor = fs.openSync(broken, 'r+');
    fs.writeSync(descriptor, Buffer.alloc(size - 400_000), 0, size - 400_000, 400_000);
    fs.closeSync(descriptor);
    const reference = { file: broken, format: 'qcow2' } as const;
    fs.linkSync(broken, scratch('link.qcow2'));
    for (const other of [broken, scratch('link.qcow2')]) {
      const images = [reference, { ...reference, file: other }] as const;
      const { verdict } = await compareHere({ images, strict: true });
      expect(verdict).toMatchObject({ kind: 'unreadable', side: 0 });
    }
  });

  test('fails if an image changes during the run, unless a difference was found', async () => {
    const growing = scratch('growing.raw');
    await writeFile(growing, textBytes(SIZE));
    const images = [{ file: growing, format: 'raw' }, options.images[1]] as const;
    const onProgress = () => fs.utimesSync(growing, new Date(), new Date(0));
    await expect(compareHere({ images, onProgress })).rejects.toMatchObject({ code: 'ERR_SOURCE_CHANGED' });
    await appendFile(growing, 'more');
    const { verdict } = await compareHere({ images, onProgress });
    expect(verdict).toEqual({ kind: 'different-content', offset: SIZE });
  });

  test('can be aborted before the start and in the middle', async () => {
    await expect(compareHere({ ...options, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
    const controller = new AbortController();
    const onProgress = ({ guestBytesDone }: Progress) => guestBytesDone > 0 && controller.abort();
    await expect(compareHere({ ...options, onProgress, signal: controller.signal })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
  });

  test.each([0, -1, 1.5, Number.NaN])('refuses %s threads', async (threads) => {
    await expect(compareHere({ ...options, threads })).rejects.toMatchObject({ code: 'ERR_USAGE' });
  });

  test('closes all files, however it ends', async () => {
    const before = openFiles();
    const missing = [options.images[0], scratch('missing')] as const;
    await expect(compareHere({ images: missing })).rejects.toMatchObject({ code: 'ERR_IO' });
    await compareHere(options);
    await compareHere({ images: [raw, scratch('changed.raw')] });
    await expect(compareHere({ ...options, signal: AbortSignal.abort() })).rejects.toThrow();
    expect(openFiles()).toBe(before);
  });
});
