/** The engine chosen for each request, on machines with all engines, some or none. */
import zlib from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { NativeEngine } from '../../src/engines/codec.js';
import { createCompressor, createDecompressor } from '../../src/engines/create-engine.js';
import {
  type AvailableEngines,
  type CompressorRequest,
  chooseCompressor,
} from '../../src/engines/engine-choice.js';
import { surveyCompression } from '../../src/engines/survey.js';

const NODE_HAS_ZSTD = 'zstdCompressSync' in zlib;

const FILES = { isal: '/lib/libisal.so.2', libdeflate: '/lib/libdeflate.so.0', libzstd: '/lib/libzstd.so.1' };

const libdeflate = (...levels: number[]) =>
  levels.map((level) => ({ engine: 'libdeflate', level, library: FILES.libdeflate }));

/** A machine with the engines named. */
const machine = (...names: (NativeEngine | 'nodeZstd')[]): AvailableEngines => ({
  library: async (engine) => (names.includes(engine) ? FILES[engine] : undefined),
  nodeZstd: () => names.includes('nodeZstd'),
  zstdVersion: async () => '1.5.5',
  isalUnportable: () => undefined,
  works: async () => true,
});
const EVERYTHING = machine('isal', 'libdeflate', 'libzstd', 'nodeZstd');
const NOTHING = machine();

const refusal = (code: string, message: string | RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

describe('the choice', () => {
  test.each<[string, CompressorRequest, AvailableEngines, object]>([
    [
      'zlib: by content, ISA-L for the lowest level, and libdeflate',
      { type: 'zlib' },
      EVERYTHING,
      {
        type: 'zlib',
        ...{ engine: 'libdeflate', level: 7, library: FILES.libdeflate },
        byContent: [{ engine: 'isal', level: 2, library: FILES.isal }, ...libdeflate(1, 4, 5, 6, 7)],
        windowBits: 15,
      },
    ],
    [
      'zlib without ISA-L: by content, libdeflate',
      { type: 'zlib' },
      machine('libdeflate'),
      {
        type: 'zlib',
        ...{ engine: 'libdeflate', level: 7, library: FILES.libdeflate },
        byContent: libdeflate(1, 1, 4, 5, 6, 7),
        windowBits: 15,
      },
    ],
    [
      'zlib of libdeflate: by content, without ISA-L',
      { type: 'zlib', engine: 'libdeflate' },
      EVERYTHING,
      {
        type: 'zlib',
        ...{ engine: 'libdeflate', level: 7, library: FILES.libdeflate },
        byContent: libdeflate(1, 1, 4, 5, 6, 7),
        windowBits: 15,
      },
    ],
    [
      'zlib: else the zlib of Node.js, by content',
      { type: 'zlib' },
      machine('isal'),
      {
        type: 'zlib',
        ...{ engine: 'node', level: 8 },
        byContent: [4, 5, 5, 6, 7, 8].map((level) => ({ engine: 'node', level })),
        windowBits: 15,
      },
    ],
    [
      'zstd: libzstd where there is one, by content',
      { type: 'zstd' },
      EVERYTHING,
      {
        type: 'zstd',
        ...{ engine: 'libzstd', level: 4, library: FILES.libzstd },
        byContent: [2, 3, 4].map((level) => ({
          engine: 'libzstd',
          level,
          library: FILES.libzstd,
          tableLog: 17,
        })),
        windowBits: 15,
      },
    ],
    [
      'zstd of Node.js: by content, with the tables of the levels',
      { type: 'zstd' },
      machine('nodeZstd'),
      {
        type: 'zstd',
        ...{ engine: 'node', level: 4 },
        byContent: [2, 3, 4].map((level) => ({ engine: 'node', level })),
        windowBits: 15,
      },
    ],
    [
      'zstd of a level: without any other parameter',
      { type: 'zstd', level: 2 },
      EVERYTHING,
      { type: 'zstd', engine: 'libzstd', level: 2, windowBits: 15, library: '/lib/libzstd.so.1' },
    ],
    [
      'zlib of a level: that level for every cluster',
      { type: 'zlib', level: 2 },
      EVERYTHING,
      { type: 'zlib', engine: 'libdeflate', level: 2, windowBits: 15, library: '/lib/libdeflate.so.0' },
    ],
    [
      'zlib of level 1, the fastest: level 2 of ISA-L if installed',
      { type: 'zlib', level: 1 },
      EVERYTHING,
      { type: 'zlib', engine: 'isal', level: 2, windowBits: 15, library: '/lib/libisal.so.2' },
    ],
    [
      'zlib of level 1 without ISA-L: that of libdeflate',
      { type: 'zlib', level: 1 },
      machine('libdeflate'),
      { type: 'zlib', engine: 'libdeflate', level: 1, windowBits: 15, library: '/lib/libdeflate.so.0' },
    ],
    [
      'level 1 of a requested engine: that level',
      { type: 'zlib', level: 1, engine: 'libdeflate' },
      EVERYTHING,
      { type: 'zlib', engine: 'libdeflate', level: 1, windowBits: 15, library: '/lib/libdeflate.so.0' },
    ],
    [
      'ISA-L on request: its fastest level',
      { type: 'zlib', engine: 'isal' },
      EVERYTHING,
      { type: 'zlib', engine: 'isal', level: 2, windowBits: 15, library: '/lib/libisal.so.2' },
    ],
    [
      'ISA-L on a machine with different output: with the reason',
      { type: 'zlib', engine: 'isal', level: 0 },
      { ...EVERYTHING, isalUnportable: () => 'no SSE4.2' },
      {
        type: 'zlib',
        engine: 'isal',
        level: 0,
        windowBits: 15,
        library: '/lib/libisal.so.2',
        unportable: 'no SSE4.2',
      },
    ],
    [
      'zstd for clusters below 64 KiB: the parameters of qemu-img',
      { type: 'zstd', clusterSize: 32768 },
      EVERYTHING,
      { type: 'zstd', engine: 'libzstd', level: 3, windowBits: 15, library: '/lib/libzstd.so.1' },
    ],
    [
      'zstd for clusters above 128 KiB: what qemu-img runs; else the zstd of Node.js',
      { type: 'zstd', clusterSize: 262_144 },
      machine('libdeflate', 'nodeZstd'),
      { type: 'zstd', engine: 'node', level: 3, windowBits: 15, library: undefined },
    ],
    [
      'the requested engine, even if another one is faster',
      { type: 'zlib', engine: 'node', level: 9 },
      EVERYTHING,
      { type: 'zlib', engine: 'node', level: 9, windowBits: 15, library: undefined },
    ],
    [
      'a window of 12 bits: the zlib of Node.js, the only engine with it',
      { type: 'zlib', windowBits: 12 },
      EVERYTHING,
      { type: 'zlib', engine: 'node', level: 6, windowBits: 12, library: undefined },
    ],
    [
      'clusters below 16 KiB: a higher level, because the larger window is no advantage over qemu-img there',
      { type: 'zlib', clusterSize: 8192 },
      EVERYTHING,
      { type: 'zlib', engine: 'libdeflate', level: 5, windowBits: 15, library: '/lib/libdeflate.so.0' },
    ],
    [
      'clusters of 16 KiB: one level above that for 64 KiB',
      { type: 'zlib', clusterSize: 16384 },
      EVERYTHING,
      { type: 'zlib', engine: 'libdeflate', level: 2, windowBits: 15, library: '/lib/libdeflate.so.0' },
    ],
  ])('%s', async (_, request, available, choice) => {
    expect(await chooseCompressor(request, available)).toEqual(choice);
  });

  test.each([
    ['1.5.0', 13, true],
    ['1.5.4', 19, true],
    ['1.5.4', 12, undefined],
    ['1.5.5', 19, undefined],
    ['1.4.9', 19, undefined],
    [undefined, 19, undefined],
  ])('payloads of zstd %s at level %i are checked: %s', async (version, level, checks) => {
    const available = { ...EVERYTHING, zstdVersion: async () => version };
    expect((await chooseCompressor({ type: 'zstd', level }, available)).checks).toBe(checks);
  });

  test('payloads of any engine are checked on request', async () => {
    for (const type of ['zlib', 'zstd'] as const) {
      expect((await chooseCompressor({ type, checkPayloads: true }, EVERYTHING)).checks).toBe(true);
    }
  });

  test('an engine that fails its trial at the level is skipped, and refused if requested', async () => {
    const tried: unknown[] = [];
    const available: AvailableEngines = {
      ...EVERYTHING,
      works: async ({ engine, level }) => {
        tried.push([engine, level]);
        return engine === 'node';
      },
    };
    expect(await chooseCompressor({ type: 'zlib', level: 7 }, available)).toMatchObject({
      engine: 'node',
      level: 7,
    });
    expect(tried).toEqual([
      ['libdeflate', 7],
      ['node', 7],
    ]);
    const asked = chooseCompressor({ type: 'zstd', engine: 'libzstd', level: 17 }, available);
    await expect(asked).rejects.toEqual(
      refusal('ERR_ENGINE', /^Engine libzstd compresses wrongly at level 17: .*\/lib\/libzstd\.so\.1$/),
    );
    const none = { ...available, works: async () => false };
    await expect(chooseCompressor({ type: 'zlib' }, none)).rejects.toEqual(
      refusal('ERR_ENGINE', /^Engine libdeflate compresses wrongly at level 7: /),
    );
  });

  test('an ISA-L that fails its trial is not used beside libdeflate', async () => {
    const available = { ...EVERYTHING, works: async ({ engine }: { engine: string }) => engine !== 'isal' };
    expect((await chooseCompressor({ type: 'zlib' }, available)).byContent).toEqual(
      libdeflate(1, 1, 4, 5, 6, 7),
    );
    expect(await chooseCompressor({ type: 'zlib', level: 1 }, available)).toMatchObject({
      engine: 'libdeflate',
    });
  });

  test('only the required engines are looked up', async () => {
    const unwanted = () => {
      throw new Error('must not be asked');
    };
    const only = (wanted?: NativeEngine): AvailableEngines => ({
      ...EVERYTHING,
      library: (engine) => (engine === wanted ? EVERYTHING.library(engine) : unwanted()),
      nodeZstd: unwanted,
    });
    await chooseCompressor({ type: 'zlib', level: 2 }, only('libdeflate'));
    await chooseCompressor({ type: 'zlib', level: 1 }, only('isal'));
    await chooseCompressor({ type: 'zstd' }, only('libzstd'));
    const none = only();
    await chooseCompressor({ type: 'zlib', engine: 'node' }, none);
  });

  test('it can be sent to a worker', async () => {
    const choice = await chooseCompressor({ type: 'zlib' });
    expect(structuredClone(choice)).toEqual(choice);
  });
});

describe('refusals', () => {
  test.each<[string, CompressorRequest, AvailableEngines, string, RegExp]>([
    [
      'zstd without any engine, with an installation hint',
      { type: 'zstd' },
      machine('libdeflate'),
      'ERR_ENGINE',
      /^No engine for zstd is installed or works: .*libzstd1 \(libzstd\.so\.1\).*Node\.js 22\.15/,
    ],
    [
      'missing libzstd, although Node.js has zstd',
      { type: 'zstd', engine: 'libzstd' },
      machine('nodeZstd'),
      'ERR_ENGINE',
      /^Engine libzstd is not installed or does not work: .*libzstd\.so\.1/,
    ],
    [
      'missing libdeflate',
      { type: 'zlib', engine: 'libdeflate' },
      NOTHING,
      'ERR_ENGINE',
      /^Engine libdeflate is not installed or does not work: .*libdeflate0/,
    ],
    [
      'the zstd of a Node.js without zstd, although libzstd is installed',
      { type: 'zstd', engine: 'node' },
      machine('libzstd'),
      'ERR_ENGINE',
      /^This Node\.js has no zstd: .*22\.15/,
    ],
    [
      'libdeflate for zstd',
      { type: 'zstd', engine: 'libdeflate' },
      EVERYTHING,
      'ERR_USAGE',
      /^Engine libdeflate does not support zstd$/,
    ],
    [
      'libzstd for zlib',
      { type: 'zlib', engine: 'libzstd' },
      NOTHING,
      'ERR_USAGE',
      /^Engine libzstd does not support zlib$/,
    ],
    [
      'missing ISA-L',
      { type: 'zlib', engine: 'isal' },
      machine('libdeflate'),
      'ERR_ENGINE',
      /^Engine isal is not installed or does not work: .*libisal2 \(libisal\.so\.2\)/,
    ],
    [
      'ISA-L for zstd',
      { type: 'zstd', engine: 'isal' },
      EVERYTHING,
      'ERR_USAGE',
      /^Engine isal does not support zstd$/,
    ],
    [
      'a window of 12 bits from ISA-L',
      { type: 'zlib', engine: 'isal', windowBits: 12 },
      EVERYTHING,
      'ERR_USAGE',
      /^Engine isal does not support a 12-bit window; use --engine node$/,
    ],
    [
      'a window of 12 bits from libdeflate',
      { type: 'zlib', engine: 'libdeflate', windowBits: 12 },
      EVERYTHING,
      'ERR_USAGE',
      /^Engine libdeflate does not support a 12-bit window; use --engine node$/,
    ],
    ['a window for zstd', { type: 'zstd', windowBits: 12 }, EVERYTHING, 'ERR_USAGE', /window_bits.*zstd/],
  ])('%s', async (_, request, available, code, message) => {
    await expect(chooseCompressor(request, available)).rejects.toEqual(refusal(code, message));
  });

  test.each<[CompressorRequest, AvailableEngines, string, number]>([
    [{ type: 'zlib' }, machine('libdeflate'), 'libdeflate', 12],
    [{ type: 'zlib' }, NOTHING, 'node', 9],
    [{ type: 'zlib', windowBits: 12 }, EVERYTHING, 'node', 9],
    [{ type: 'zstd' }, EVERYTHING, 'libzstd', 19],
    [{ type: 'zstd' }, machine('nodeZstd'), 'node', 19],
  ])('levels out of range: %j', async (request, available, engine, highest) => {
    for (const level of [1, highest]) {
      expect(await chooseCompressor({ ...request, level }, available)).toMatchObject({ engine, level });
    }
    for (const level of [-1, 0, highest + 1, 1.5, Number.NaN]) {
      await expect(chooseCompressor({ ...request, level }, available)).rejects.toEqual(
        refusal(
          'ERR_USAGE',
          `^compression level ${level} is out of range for ${engine} \\(1 to ${highest}\\)$`,
        ),
      );
    }
  });

  test.each([-1, 3, 12])('level %i of ISA-L, which has 0 to 2', async (level) => {
    await expect(chooseCompressor({ type: 'zlib', engine: 'isal', level }, EVERYTHING)).rejects.toEqual(
      refusal('ERR_USAGE', `^compression level ${level} is out of range for isal \\(0 to 2\\)$`),
    );
  });

  test('a library that was removed before the worker loads it', async () => {
    for (const [type, engine] of [
      ['zlib', 'isal'],
      ['zlib', 'libdeflate'],
      ['zstd', 'libzstd'],
    ] as const) {
      const choice = { type, engine, level: 1, windowBits: 15, library: '/nowhere/lib.so' } as const;
      await expect(createCompressor(choice)).rejects.toEqual(
        refusal('ERR_ENGINE', `^Engine ${engine} cannot`),
      );
    }
  });

  test('an impossible decompressor', async () => {
    await expect(createDecompressor({ type: 'zstd', engine: 'libdeflate' })).rejects.toEqual(
      refusal('ERR_USAGE', /libdeflate/),
    );
    await expect(createDecompressor({ type: 'zlib', engine: 'libzstd' })).rejects.toEqual(
      refusal('ERR_USAGE', /libzstd/),
    );
    if (NODE_HAS_ZSTD) return;
    await expect(createDecompressor({ type: 'zstd', engine: 'node' })).rejects.toEqual(
      refusal('ERR_ENGINE', /22\.15/),
    );
  });
});

test('the survey names the libraries of this machine and the other versions', async () => {
  expect(await surveyCompression()).toEqual({
    isal: {
      file: expect.stringMatching(/^\/.*libisal/),
      version: expect.stringMatching(/^libisal\.(so|.*dylib)/),
    },
    libdeflate: {
      file: expect.stringMatching(/^\/.*libdeflate/),
      version: expect.stringMatching(/^libdeflate\.(so|.*dylib)/),
    },
    libzstd: { file: expect.stringMatching(/^\/.*libzstd/), version: expect.stringMatching(/^1\.\d+\.\d+$/) },
    nodeZlib: process.versions.zlib,
    nodeZstd: NODE_HAS_ZSTD ? expect.stringMatching(/^1\./) : undefined,
    koffi: expect.stringMatching(/^3\./),
  });
});
