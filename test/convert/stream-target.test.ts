import { createReadStream, writeFileSync } from 'node:fs';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { PassThrough, Writable } from 'node:stream';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { check } from '../../src/check/check.js';
import type { ConvertOptions } from '../../src/convert/options.js';
import { type ClusterPlace, clusterPlaces } from '../e2e/cluster-places.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes, textBytes } from '../e2e/source-images.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { run, runOk } from '../oracle/run.js';
import { longTest, tries } from '../stage.js';
import { Collector, Stuck } from '../storage/collector.js';
import { convertHere } from './built-worker.js';
import { diskOf, geometries, stretches } from './generated-disks.js';
import { openFiles } from './open-files.js';

const path = useScratch();
/** Of the header's autoclear features, in bytes. */
const AUTOCLEAR_OFFSET = 88;

/** @returns what a conversion writes to a stream */
async function streamed(options: Omit<ConvertOptions, 'target'>): Promise<Buffer> {
  const stream = new Collector();
  const { fileSize, writtenBytes } = await convertHere({ ...options, target: { stream } });
  const { bytes, writableFinished } = stream;
  expect([fileSize, writtenBytes, writableFinished]).toEqual([bytes.length, bytes.length, true]);
  return bytes;
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
          compressedCacheSize: cached || !one.compress ? undefined : 0,
        };
        expect((await streamed(options)).equals(await filed(options))).toBe(true);
      }),
      { numRuns: tries(25) },
    );
  });

  test('for a raw disk with more runs in an item than are written at once', async () => {
    const [raw, disk] = [path('runs.raw'), Buffer.alloc(4 * 2 ** 20)];
    for (const at of [0, 1, 2, 3, 4, 48]) disk.fill('run', at * 65_536, at * 65_536 + 8);
    await writeFile(raw, disk);
    const options = { sources: [raw], sourceFormat: 'raw', targetFormat: 'raw' } as const;
    expect((await streamed(options)).equals(disk)).toBe(true);
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
      { numRuns: tries(15) },
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

  longTest('where compressed clusters are interrupted by more than an output keeps in memory', async () => {
    const disk = path('interrupted.raw');
    const [text, noise] = [textBytes(65_536), randomBytes(17 * 2 ** 20, 9)];
    await writeFile(disk, Buffer.concat([text, noise, text, noise, text]));
    const options = { sources: [disk], sourceFormat: 'raw' as const, compress: true };
    const [one, other] = [await streamed(options), await filed(options)];
    expect(one.length).toBe(other.length);
    expect(one.equals(other)).toBe(true);
  });
});

describe('every kind of source makes the same image in a stream as in a file', () => {
  const raw = path('base.raw');
  const top = path('top.qcow2');
  beforeAll(async () => {
    const list = ['text', 'noise', 'zeros', 'text'] as const;
    await writeFile(raw, diskOf(list.map((kind) => ({ kind, length: 700_000 }))));
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', top]);
    await runOk('qemu-img', ['bitmap', '--add', '--granularity', '64k', top, 'dirty']);
    await qemuIo(top, ['write -q -P 1 100k 70k']);
    await runOk('qemu-img', ['snapshot', '-c', 'before', top]);
    await qemuIo(top, ['write -q -P 2 2M 300k', 'write -q -z 0 64k']);
  });

  test.each<[string, Partial<ConvertOptions>]>([
    ['a chain', {}],
    ['a chain to a raw disk', { compress: false, targetFormat: 'raw' }],
    ['a snapshot', { snapshot: { idOrName: 'before' } }],
    ['an image with bitmaps', { bitmaps: 'all' }],
    ['changes over the backing file', { create: { backingFile: raw, backingFormat: 'raw' } }],
    ['what a bitmap lists', { bitmap: 'dirty', create: { backingFile: raw, backingFormat: 'raw' } }],
    ['two images', { sources: [top, { file: raw, format: 'raw' }], sourceFormat: 'qcow2' }],
    ['a part of a disk', { sources: [{ file: raw, format: 'raw', offset: 512, size: 1_024_000 }] }],
  ])('%s', async (_, options) => {
    const all = { sources: [top], sourceFormat: 'qcow2' as const, compress: true, ...options };
    expect((await streamed(all)).equals(await filed(all))).toBe(true);
  });
});

test('an image that has lost its end is reported: by qcow2c always, by qemu-img where more than a cluster is lost', async () => {
  const [disk, image] = [path('cut.raw'), path('cut.qcow2')];
  const kinds = ['text', 'noise', 'zeros', 'text', 'noise', 'text'] as const;
  await writeFile(disk, diskOf(kinds.map((kind) => ({ kind, length: 700_000 }))));
  const whole = await streamed({ sources: [disk], sourceFormat: 'raw', compress: true });
  const lost = [512, 65_536, 66_048, Math.floor(whole.length / 2 / 512) * 512];
  for (const bytes of [...lost, whole.length - 65_536, whole.length - 512]) {
    await writeFile(image, whole.subarray(0, whole.length - bytes));
    const found = await check({ image: { file: image } });
    expect({ bytes, ...found }).toMatchObject({ bytes, corruptions: expect.not.closeTo(0) });
    // With one cluster lost, qemu-img may say nothing.
    if (bytes > 65_536) {
      expect([bytes, (await run('qemu-img', ['check', image])).status]).toEqual([bytes, 2]);
    }
  }
});

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
    const before = openFiles();
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
    expect(openFiles()).toBe(before);
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

  test('reports each warning once', async () => {
    const image = path('stale.qcow2');
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', image, '1M']);
    await runOk('qemu-img', ['bitmap', '--add', image, 'stale']);
    const bytes = await readFile(image);
    bytes.fill(0, AUTOCLEAR_OFFSET, AUTOCLEAR_OFFSET + 8);
    await writeFile(image, bytes);
    const warnings: string[] = [];
    await convertHere({
      sources: [image],
      sourceFormat: 'qcow2',
      target: { stream: new Collector() },
      bitmaps: 'all',
      onWarning: (message) => warnings.push(message),
    });
    expect(warnings).toEqual([expect.stringContaining('none is copied')]);
  });

  test('has the digests of the file', async () => {
    await writeFile(disk(), diskOf([{ kind: 'text', length: 3_000_000 }]));
    const options = {
      sources: [disk()],
      sourceFormat: 'raw' as const,
      compress: true,
      digest: true,
      sha256: true,
    };
    const digests = [];
    for (const target of [path('digested.qcow2'), { stream: new Collector() }]) {
      const { digest, sha256 } = await convertHere({ ...options, target });
      digests.push({ digest, sha256 });
    }
    const found = expect.stringMatching(/^[0-9a-f]{64}$/);
    expect(digests[0]).toEqual({ digest: found, sha256: found });
    expect(digests[1]).toEqual(digests[0]);
  });

  test('with a digest and a bitmap needs a spool directory, from which the image is read back', async () => {
    const create = { backingFile: path('base.raw'), backingFormat: 'raw' as const };
    const options = { sources: [path('top.qcow2')], sourceFormat: 'qcow2' as const, create, bitmap: 'dirty' };
    const refused = convertHere({ ...options, digest: true, target: { stream: new Collector() } });
    await expect(refused).rejects.toMatchObject({ code: 'ERR_USAGE' });
    const spooled = { ...options, digest: true, spool: path('.'), target: { stream: new Collector() } };
    const filed = { ...options, digest: true, target: path('changes.qcow2') };
    expect((await convertHere(spooled)).digest).toBe((await convertHere(filed)).digest);
  });

  test('counts both passes in its progress', async () => {
    await writeFile(disk(), textBytes(2 ** 21 + 512));
    const phases: unknown[] = [];
    await convertHere({
      sources: [disk()],
      sourceFormat: 'raw',
      target: { stream: new Collector() },
      compress: true,
      onProgress: ({ phase, guestBytesDone, guestBytes }) => {
        if (guestBytesDone === 0 || guestBytesDone === guestBytes) phases.push([phase, guestBytesDone]);
      },
    });
    const end = 2 ** 21 + 512;
    expect(phases.filter((state, at) => String(state) !== String(phases[at - 1]))).toEqual([
      ['layout', 0],
      ['layout', end],
      ['write', 0],
      ['write', end],
    ]);
  });

  test('reports each range that --salvage lost once', async () => {
    const image = path('damaged.qcow2');
    await writeFile(disk(), textBytes(3 * 2 ** 20));
    await convertHere({ sources: [disk()], sourceFormat: 'raw', target: image, compress: true });
    const [{ from: offset }] = (await clusterPlaces(image)) as [ClusterPlace];
    const bytes = await readFile(image);
    bytes.fill(0xff, offset, offset + 64);
    await writeFile(image, bytes);
    const lost: number[] = [];
    const { unreadableBytes } = await convertHere({
      sources: [image],
      sourceFormat: 'qcow2',
      target: { stream: new Collector() },
      compress: true,
      salvage: true,
      onUnreadable: ({ length }) => lost.push(length),
    });
    expect([lost.length, lost.reduce((sum, length) => sum + length, 0)]).toEqual([1, unreadableBytes]);
    expect(unreadableBytes).toBeGreaterThan(0);
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
