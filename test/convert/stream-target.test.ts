import { createReadStream, writeFileSync } from 'node:fs';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { PassThrough, Writable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes, textBytes } from '../e2e/source-images.js';
import { tries } from '../stage.js';
import { convertHere } from './built-worker.js';
import { diskOf, geometries, stretches } from './generated-disks.js';
import { openFiles } from './open-files.js';

const path = useScratch();

/** Keeps what is written. */
class Collector extends Writable {
  readonly #chunks: Buffer[] = [];

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

/** @returns what a conversion writes to a stream */
async function streamed(options: Omit<ConvertOptions, 'target'>): Promise<Buffer> {
  const stream = new Collector();
  const { fileSize, writtenBytes } = await convertHere({ ...options, target: { stream } });
  expect([fileSize, writtenBytes, stream.writableFinished]).toEqual([
    stream.bytes.length,
    stream.bytes.length,
    true,
  ]);
  return stream.bytes;
}

/** @returns the bytes of the file that the same conversion makes */
async function filed(options: Omit<ConvertOptions, 'target'>): Promise<Buffer> {
  const target = path('file.out');
  await convertHere({ ...options, target, overwrite: 'any' });
  return readFile(target);
}

describe('a stream gets the bytes of the file', () => {
  test('for any disk in any geometry', async () => {
    const raw = path('disk.raw');
    await fc.assert(
      fc.asyncProperty(stretches, geometries, fc.boolean(), async (list, { create, ...one }, cached) => {
        await writeFile(raw, diskOf(list));
        const options = {
          sources: [raw],
          sourceFormat: 'raw' as const,
          ...one,
          create: { ...create, preallocation: 'off' as const },
          compressedCacheSize: cached ? undefined : 0,
        };
        expect((await streamed(options)).equals(await filed(options))).toBe(true);
      }),
      { numRuns: tries(40) },
    );
  });

  test('for any overlay over any other disk', async () => {
    const [raw, base] = [path('top.raw'), path('base.raw')];
    await fc.assert(
      fc.asyncProperty(stretches, stretches, async (list, below) => {
        await writeFile(raw, diskOf(list));
        await writeFile(base, diskOf(below));
        const create = { backingFile: base, backingFormat: 'raw' as const };
        const options = { sources: [raw], sourceFormat: 'raw' as const, compress: true, create };
        expect((await streamed(options)).equals(await filed(options))).toBe(true);
      }),
      { numRuns: tries(20) },
    );
  });

  test('for a raw disk, holes as zeros', async () => {
    const disk = path('sparse.raw');
    await writeFile(disk, textBytes(100_000));
    await truncate(disk, 5 * 2 ** 20);
    const options = { sources: [disk], targetFormat: 'raw' as const };
    expect((await streamed(options)).equals(await readFile(disk))).toBe(true);
  });

  test('for a raw disk that is a stream itself', async () => {
    const disk = path('whole.raw');
    await writeFile(disk, randomBytes(3 * 2 ** 20, 5));
    const sources = [{ stream: createReadStream(disk) }];
    expect((await streamed({ sources, targetFormat: 'raw' })).equals(await readFile(disk))).toBe(true);
  });

  test('through a spool directory, from a stream', async () => {
    const disk = path('spooled.raw');
    await writeFile(
      disk,
      diskOf([
        { kind: 'text', length: 3_000_000 },
        { kind: 'noise', length: 3_000_000 },
      ]),
    );
    const options = { compress: true, sourceFormat: 'raw' as const };
    const sources = [{ stream: createReadStream(disk) }];
    const found = await streamed({ ...options, sources, spool: path('.') });
    expect(found.equals(await filed({ ...options, sources: [disk] }))).toBe(true);
  });

  test('where compressed clusters are interrupted by more than an output keeps in memory', async () => {
    const disk = path('interrupted.raw');
    const [text, noise] = [textBytes(65_536), randomBytes(40 * 2 ** 20, 9)];
    await writeFile(disk, Buffer.concat([text, noise, text, noise, text]));
    const options = { sources: [disk], sourceFormat: 'raw' as const, compress: true };
    const [one, other] = [await streamed(options), await filed(options)];
    expect(one.length).toBe(other.length);
    expect(one.equals(other)).toBe(true);
  });
});

/** A reader that takes one piece and no more. */
class Stuck extends Writable {
  bytes = 0;

  override _write(chunk: Buffer): void {
    this.bytes += chunk.length;
  }
}

describe('a conversion to a stream', () => {
  const disk = () => path('source.raw');

  test('is refused if its source can be read only once', async () => {
    const stream = new Collector();
    const sources = [{ stream: new PassThrough() }];
    await expect(convertHere({ sources, target: { stream }, compress: true })).rejects.toMatchObject({
      code: 'ERR_USAGE',
      message: expect.stringContaining('--spool DIR'),
    });
    expect([stream.bytes.length, stream.destroyed, stream.writableEnded]).toEqual([0, false, false]);
  });

  test('rejects with the error of the stream, and leaves nothing open', async () => {
    await writeFile(disk(), randomBytes(4 * 2 ** 20, 3));
    const before = await openFiles();
    const reason = new Error('no one listens');
    const stream = new Writable({ write: (_, __, done) => done(reason) });
    const options = {
      sources: [disk()],
      sourceFormat: 'raw' as const,
      target: { stream, name: 'the socket' },
    };
    await expect(convertHere({ ...options, compress: true })).rejects.toMatchObject({
      code: 'ERR_IO',
      file: 'the socket',
      cause: reason,
    });
    expect(await openFiles()).toBe(before);
  });

  test('ends at its signal while the reader takes nothing, and leaves the stream to its owner', async () => {
    await writeFile(disk(), randomBytes(4 * 2 ** 20, 3));
    const stream = new Stuck();
    const controller = new AbortController();
    const running = convertHere({
      sources: [disk()],
      sourceFormat: 'raw',
      target: { stream },
      signal: controller.signal,
      onProgress: ({ phase, guestBytesDone, guestBytes }) => {
        if (phase === 'write' && guestBytesDone === guestBytes) controller.abort();
      },
    });
    await expect(running).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect([stream.destroyed, stream.writableEnded]).toEqual([false, false]);
  });

  test('is an error if the source changes between the passes, before a byte is written', async () => {
    await writeFile(disk(), textBytes(3 * 2 ** 20));
    const stream = new Collector();
    let isChanged = false;
    const running = convertHere({
      sources: [disk()],
      sourceFormat: 'raw',
      target: { stream },
      compress: true,
      onProgress: ({ phase, guestBytesDone, guestBytes }) => {
        if (phase !== 'layout' || isChanged || guestBytesDone !== guestBytes) return;
        isChanged = true;
        writeFileSync(disk(), 'new', { flag: 'r+' });
      },
    });
    await expect(running).rejects.toMatchObject({ code: 'ERR_SOURCE_CHANGED' });
    expect([stream.bytes.length, stream.writableEnded]).toEqual([0, false]);
  });
});
