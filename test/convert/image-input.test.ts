import * as fs from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { imageInput, onlyImage, openImages, openSettings } from '../../src/convert/image-input.js';
import type { OpenedImage } from '../../src/image/open-image.js';
import { useScratch } from '../e2e/scratch.js';
import { FakeLayer } from '../image/fake-layer.js';
import { FakeSource } from '../image/fake-source.js';
import { create } from '../oracle/qemu-img.js';
import { ITEM, SETTINGS } from './input-settings.js';

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
  test('one file is read alone, several are concatenated, each rounded up to a sector; all are closed', async () => {
    const before = openFiles();
    {
      await using one = await openImages({ sources: [odd] });
      expect([one.name, one.size, one.readAlignment]).toEqual([odd, 1024, 1]);
      await using three = await openImages({ sources: [odd, small, odd], sourceFormat: 'raw' });
      expect([three.name, three.size]).toEqual([`${odd} + ${small} + ${odd}`, 3072]);
      expect(openFiles()).toBe(before + 4);
    }
    expect(openFiles()).toBe(before);
  });

  test('reads without the page cache are aligned', async () => {
    for (const sourceCache of ['none', 'directsync'] as const) {
      await using input = await openImages({ sources: [odd, small], sourceCache });
      expect(input.readAlignment).toBe(4096);
    }
    for (const sourceCache of ['writeback', 'writethrough', 'unsafe', undefined] as const) {
      expect(openSettings({ sourceCache }).direct).toBe(false);
    }
  });

  test('a file that looks like another format is raw if stated', async () => {
    for (const name of [path('vmdk.raw'), qcow2]) {
      await using input = await openImages({ sources: [name], sourceFormat: 'raw' });
      expect(input.images[0]?.layers[0].format).toBe('raw');
    }
  });

  test('`sourceFormat` applies to names; a reference has its own format', async () => {
    const sources = [
      qcow2,
      { file: small, format: 'raw' },
      { file: zstd },
      { file: odd, offset: 1, size: 512 },
    ] as const;
    await using input = await openImages({ sources, sourceFormat: 'qcow2' });
    expect(input.images.map(({ layers }) => layers[0].format)).toEqual(['qcow2', 'raw', 'qcow2', 'raw']);
    expect(input.size).toBe(2 * 65_536 + 1024 + 512);
    expect([...input.compressionTypes]).toEqual(['zlib', 'zstd']);
  });

  test('--isolated applies to all sources', async () => {
    const sources = [small, { file: overlay, format: 'qcow2' }] as const;
    await using _ = await openImages({ sources });
    await expect(openImages({ sources, isolated: true })).rejects.toThrow(/which --isolated refuses/);
  });

  test('an option of a single image applies to the only source', async () => {
    await using one = await openImages({ sources: [small] });
    expect(onlyImage(one)).toBe(one.images[0]);
    await using two = await openImages({ sources: [small, odd] });
    expect(() => onlyImage(two)).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }));
  });

  test.each([
    ['a missing file', [small, path('missing')], {}, { code: 'ERR_IO', systemCode: 'ENOENT' }],
    ['a directory', [small, odd, path('')], {}, { code: 'ERR_UNSUPPORTED', file: path('') }],
    ['an unsupported format', [small, path('vmdk.raw')], {}, { code: 'ERR_UNSUPPORTED', found: 'vmdk' }],
    [
      'a device without a size',
      [small, '/dev/zero'],
      { sourceFormat: 'raw' },
      { code: 'ERR_UNSUPPORTED', file: '/dev/zero' },
    ],
    [
      'a raw disk stated as qcow2',
      [qcow2, small],
      { sourceFormat: 'qcow2' },
      { code: 'ERR_FORMAT', file: small },
    ],
    [
      'a probed image that names another',
      [small, overlay],
      {},
      { code: 'ERR_UNSUPPORTED', file: overlay, message: expect.stringMatching(/format was not stated/) },
    ],
    [
      'a missing snapshot',
      [qcow2],
      { snapshot: { idOrName: 'x' } },
      { code: 'ERR_USAGE', message: expect.stringMatching(/^Failed to load snapshot: /) },
    ],
  ] as const)('%s is refused, and all files are closed', async (_, sources, options, facts) => {
    const before = openFiles();
    await expect(openImages({ ...options, sources })).rejects.toThrow(expect.objectContaining(facts));
    expect(openFiles()).toBe(before);
  });
});

describe('images', () => {
  const imageOf = (source: OpenedImage['source']) =>
    ({
      source,
      files: [],
      layers: [],
      readAlignment: 4096,
      settledMs: 0,
      compressionTypes: new Set(['zstd']),
    }) as unknown as OpenedImage;
  const pool = { arrivalSlot: () => new Uint8Array(0) };

  test('are planned with and without a backing file, and describe themselves', async () => {
    const parts = [
      new FakeSource('a', [{ kind: 'data', length: ITEM }], 5),
      new FakeSource('b', [{ kind: 'zero', length: ITEM }], 6),
    ];
    const input = imageInput(parts.map(imageOf));
    expect(input).toMatchObject({ size: 2 * ITEM, readAlignment: 4096, arrives: false });
    expect([...input.compressionTypes]).toEqual(['zstd']);
    expect([input.fileOf(6), input.fileOf(7)]).toEqual(['b', undefined]);
    const plain = input.items(SETTINGS, pool);
    expect(await plain(0)).toMatchObject({ guestOffset: 0, segments: [{ kind: 'data' }] });
    expect(await plain(0)).toBeUndefined();
    const kept = input.items({ ...SETTINGS, keepZeros: true }, pool);
    expect([await kept(0), await kept(1)].map((item) => item?.guestOffset)).toEqual([0, ITEM]);
    const backing = new FakeSource('base', [{ kind: 'data', length: 2 * ITEM }], 5);
    const overlay = input.items({ ...SETTINGS, backing }, pool);
    expect(await overlay(0)).toMatchObject({ guestOffset: ITEM, changed: [[0, 8]], segments: [] });
    expect(await overlay(0)).toBeUndefined();
    await input.refuseChanges();
    expect(parts.map(({ refused }) => refused)).toEqual([1, 1]);
  });

  test('replace unreadable ranges with zeros with salvage, and fail without it', async () => {
    const source = new FakeLayer<never>('x', [{ kind: 'unreadable', length: ITEM }] as never);
    const input = imageInput([imageOf(source)]);
    const told: number[] = [];
    const next = input.items({ ...SETTINGS, onUnreadable: ({ length }) => told.push(length) }, pool);
    expect(await next(0)).toBeUndefined();
    expect(told).toEqual([ITEM]);
    await expect(input.items(SETTINGS, pool)(0)).rejects.toMatchObject({ code: 'ERR_CORRUPT' });
  });
});
