import * as fs from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { onlyImage, openSettings, openSources, openStream } from '../../src/convert/open-sources.js';
import { useScratch } from '../e2e/scratch.js';
import { create } from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';

const path = useScratch();
const openFiles = () => fs.readdirSync('/proc/self/fd').length;
const [small, odd, qcow2, zstd, overlay] = [
  'small.raw',
  'odd.raw',
  'image.qcow2',
  'zstd.qcow2',
  'overlay.qcow2',
].map((name) => path(name)) as [string, string, string, string, string];
await writeFile(small, Buffer.alloc(1024, 1));
await writeFile(odd, Buffer.alloc(513, 2));
await writeFile(path('vmdk.raw'), 'KDMV and more');
await create(qcow2, 65_536);
await create(zstd, 65_536, ['-o', 'compression_type=zstd']);
await create(overlay, 65_536, ['-b', small, '-F', 'raw']);

describe('opening sources', () => {
  test('one file is itself, several are joined, each rounded up to a sector; all are closed', async () => {
    const before = openFiles();
    const { source: one, readAlignment } = await openSources({ sources: [odd] });
    expect([one.name, one.size, readAlignment]).toEqual([odd, 1024, 1]);
    const { source: three } = await openSources({ sources: [odd, small, odd], sourceFormat: 'raw' });
    expect([three.name, three.size]).toEqual([`${odd} + ${small} + ${odd}`, 3072]);
    expect(openFiles()).toBe(before + 4);
    await one.close();
    await three.close();
    expect(openFiles()).toBe(before);
  });

  test('reads past the page cache have to be aligned', async () => {
    for (const sourceCache of ['none', 'directsync'] as const) {
      const { source, readAlignment } = await openSources({ sources: [odd, small], sourceCache });
      expect(readAlignment).toBe(4096);
      await source.close();
    }
    for (const sourceCache of ['writeback', 'writethrough', 'unsafe', undefined] as const) {
      expect(openSettings({ sourceCache }).direct).toBe(false);
    }
  });

  test('a file that looks like another format is raw when that is said', async () => {
    for (const name of [path('vmdk.raw'), qcow2]) {
      const { source, images } = await openSources({ sources: [name], sourceFormat: 'raw' });
      expect(images[0]?.layers[0].format).toBe('raw');
      await source.close();
    }
  });

  test('the sources’ format is for names; a reference has its own', async () => {
    const sources = [
      qcow2,
      { file: small, format: 'raw' },
      { file: zstd },
      { file: odd, offset: 1, size: 512 },
    ] as const;
    const { source, images, compressionTypes } = await openSources({ sources, sourceFormat: 'qcow2' });
    expect(images.map(({ layers }) => layers[0].format)).toEqual(['qcow2', 'raw', 'qcow2', 'raw']);
    expect(source.size).toBe(2 * 65_536 + 1024 + 512);
    expect([...compressionTypes]).toEqual(['zlib', 'zstd']);
    await source.close();
  });

  test('--isolated is for all of them', async () => {
    const sources = [small, { file: overlay, format: 'qcow2' }] as const;
    const { source } = await openSources({ sources });
    await source.close();
    await expect(openSources({ sources, isolated: true })).rejects.toThrow(/which --isolated refuses/);
  });

  test('what only one image can have asks for the only one', async () => {
    const one = await openSources({ sources: [small] });
    expect(onlyImage(one)).toBe(one.images[0]);
    const two = await openSources({ sources: [small, odd] });
    expect(() => onlyImage(two)).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }));
    await one.source.close();
    await two.source.close();
  });

  test.each([
    ['a file that is not there', [small, path('missing')], {}, { code: 'ERR_IO', systemCode: 'ENOENT' }],
    ['a directory', [small, odd, path('')], {}, { code: 'ERR_UNSUPPORTED', file: path('') }],
    ['a format that is not read', [small, path('vmdk.raw')], {}, { code: 'ERR_UNSUPPORTED', found: 'vmdk' }],
    [
      'a device without a size',
      [small, '/dev/zero'],
      { sourceFormat: 'raw' },
      { code: 'ERR_UNSUPPORTED', file: '/dev/zero' },
    ],
    [
      'a raw disk said to be qcow2',
      [qcow2, small],
      { sourceFormat: 'qcow2' },
      { code: 'ERR_FORMAT', file: small },
    ],
    [
      'a guessed image that names another',
      [small, overlay],
      {},
      { code: 'ERR_UNSUPPORTED', file: overlay, message: expect.stringMatching(/format was not stated/) },
    ],
    [
      'a snapshot that is not there',
      [qcow2],
      { snapshot: { idOrName: 'x' } },
      { code: 'ERR_USAGE', message: expect.stringMatching(/^Failed to load snapshot: /) },
    ],
  ] as const)('%s is refused, and nothing stays open', async (_, sources, options, facts) => {
    const before = openFiles();
    await expect(openSources({ ...options, sources })).rejects.toThrow(expect.objectContaining(facts));
    expect(openFiles()).toBe(before);
  });
});

describe('a stream', () => {
  test('is none of the images', async () => {
    expect(await openStream({ sources: [small, { file: odd }] })).toBeUndefined();
  });

  test('is what the name of a pipe stands for, which is opened without waiting for its writer', async () => {
    const before = openFiles();
    const fifo = path('fifo');
    await runOk('mkfifo', [fifo]);
    for (const source of [fifo, { file: fifo, format: 'raw' }] as const) {
      const opened = await openStream({ sources: [source] });
      expect(opened?.name).toBe(fifo);
      const fill = opened!.fill(new Uint8Array(1));
      fill.catch(() => {});
      await opened?.close();
      await expect(fill).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    }
    // Its writer must not be let go for a conversion that cannot be.
    await expect(openStream({ sources: [small, fifo] })).rejects.toThrow(
      /'.*fifo' is a stream, which must be the only/,
    );
    expect(openFiles()).toBe(before);
  });

  test('is the descriptor under its name, which is closed with it', async () => {
    const before = openFiles();
    const descriptor = fs.openSync(small, 'r');
    const opened = await openStream({
      sources: [{ stream: descriptor, name: 'a pipe' }],
      sourceFormat: 'raw',
    });
    expect(opened?.name).toBe('a pipe');
    await opened?.close();
    expect(openFiles()).toBe(before);
  });
});
