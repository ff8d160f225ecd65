/** Wrong arguments of every function of the library are refused, with the name of the argument. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ENGINE_NAMES } from '../../src/engines/codec.js';
import {
  check,
  checksum,
  compare,
  convert,
  imageInfo,
  mapImage,
  measure,
  Qcow2cError,
} from '../../src/index.js';

const NONE = '/none/at/all';

/** The functions, with options that fail with ENOENT when they are right by themselves. */
const FUNCTIONS = {
  convert: { call: convert, options: { sources: [NONE], target: '/none/at/all.qcow2' } },
  check: { call: check, options: { image: NONE } },
  checksum: { call: checksum, options: { source: NONE } },
  compare: { call: compare, options: { images: [NONE, { file: NONE, format: 'raw' }] } },
  imageInfo: { call: imageInfo, options: { image: NONE } },
  mapImage: { call: (options: never) => mapImage(options).next(), options: { image: NONE } },
  measure: { call: measure, options: { source: NONE } },
} as const;

type Name = keyof typeof FUNCTIONS;
const NAMES = Object.keys(FUNCTIONS) as Name[];

/** @returns the error of a call with these options */
async function failureOf(name: Name, options: unknown): Promise<unknown> {
  const call = FUNCTIONS[name].call as (options: unknown) => Promise<unknown>;
  // A synchronous throw would reject here too, so it is told apart.
  let running: Promise<unknown>;
  try {
    running = call(options);
  } catch (error) {
    return new Error('thrown synchronously', { cause: error });
  }
  return running.then(
    () => undefined,
    (error: unknown) => error,
  );
}

async function expectRefused(name: Name, options: unknown, argument: string): Promise<void> {
  const error = await failureOf(name, options);
  expect(error).toBeInstanceOf(Qcow2cError);
  expect(error).toMatchObject({ code: 'ERR_USAGE', message: expect.stringContaining(`'${argument}'`) });
}

describe.each(NAMES)('%s', (name) => {
  const { options } = FUNCTIONS[name];

  test('opens the files of right options', async () => {
    expect(await failureOf(name, options)).toMatchObject({ code: 'ERR_IO', systemCode: 'ENOENT' });
  });

  const wrong = [
    undefined,
    null,
    7,
    'a.qcow2',
    [],
    () => {},
    new Uint8Array(4),
    new Map(),
    Promise.resolve({}),
  ];
  test.each(wrong.map((value) => [value]))('refuses %s as its options', async (value) => {
    await expectRefused(name, value, 'options');
  });

  test('refuses a Promise or a Map as an object of options', async () => {
    await expectRefused(name, { ...options, nbd: Promise.resolve({ retries: 0 }) }, 'nbd');
    await expectRefused(name, { ...options, nbd: new Map([['retries', 0]]) }, 'nbd');
  });

  test('refuses an unknown option, unless it is undefined', async () => {
    await expectRefused(name, { ...options, thread: 2 }, 'thread');
    expect(await failureOf(name, { ...options, thread: undefined })).toMatchObject({ code: 'ERR_IO' });
  });

  test.each([[{}], ['stop'], [null], [new AbortController()]])('refuses %s as a signal', async (signal) => {
    await expectRefused(name, { ...options, signal }, 'signal');
  });

  test('rejects with an AbortError for a signal that was aborted before', async () => {
    const reason = { why: 'enough' };
    const error = await failureOf(name, { ...options, signal: AbortSignal.abort(reason) });
    expect(error).toBeInstanceOf(Qcow2cError);
    expect(error).toMatchObject({ name: 'AbortError', code: 'ERR_ABORTED' });
    expect((error as Error).cause).toBe(reason);
  });

  const json = fc.anything({
    values: [
      fc.constantFrom(...[-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 1e9, 2 ** 60, null, undefined]),
      fc.constantFrom('', 'raw', 'qcow2', 'none', '4', `${NONE}/x`),
      fc.boolean(),
    ],
    key: fc.constantFrom(
      'file',
      'format',
      'backing',
      'dataFile',
      'offset',
      'size',
      'stream',
      'name',
      'id',
      '0',
    ),
    maxDepth: 3,
    withTypedArray: true,
    withNullPrototype: true,
  });
  const argument = fc.constantFrom(
    ...[
      'image',
      'images',
      'sources',
      'source',
      'target',
      'create',
      'snapshot',
      'threads',
      'memory',
      'signal',
    ],
    ...[
      'onProgress',
      'onWarning',
      'repair',
      'bitmaps',
      'size',
      'sample',
      'compress',
      'startOffset',
      'engine',
    ],
  );

  test('accepts any value of any argument or refuses it with a Qcow2cError', async () => {
    await fc.assert(
      fc.asyncProperty(argument, json, async (key, value) => {
        const error = await failureOf(name, { ...options, [key]: value });
        if (error === undefined) return;
        expect(error).toBeInstanceOf(Qcow2cError);
        expect((error as Qcow2cError).code).not.toBe('ERR_INTERNAL');
      }),
      { numRuns: 150 },
    );
  });
});

const BUDGETED: readonly Name[] = ['convert', 'check', 'checksum', 'compare', 'imageInfo', 'measure'];
describe.each(BUDGETED)('%s', (name) => {
  const options = {
    ...FUNCTIONS[name].options,
    ...(name === 'imageInfo' ? { deep: true } : {}),
    ...(name === 'check' ? { data: true } : {}),
  };

  test.each([0, -1, 1.5, Number.NaN, 1e9, '4', null, 4n])('refuses %s threads', async (threads) => {
    await expectRefused(name, { ...options, threads }, 'threads');
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '4'])(
    'refuses %s bytes of memory',
    async (memory) => {
      await expectRefused(name, { ...options, memory }, 'memory');
    },
  );
});

describe('an error names the wrong argument by its path', () => {
  const target = '/none/at/all.qcow2';
  test.each<[Name, Record<string, unknown>, string]>([
    ['convert', { target }, 'sources'],
    ['convert', { sources: NONE, target }, 'sources'],
    ['convert', { sources: [NONE, {}], target }, 'sources[1].file'],
    ['convert', { sources: [NONE, 7], target }, 'sources[1]'],
    // biome-ignore lint/suspicious/noSparseArray: a hole is what is tested
    ['convert', { sources: [, NONE], target }, 'sources[0]'],
    ['convert', { sources: [{ file: NONE, format: 'vmdk' }], target }, 'sources[0].format'],
    ['convert', { sources: [{ file: NONE, backing: { file: 7 } }], target }, 'sources[0].backing.file'],
    ['convert', { sources: [{ stream: -1 }], target }, 'sources[0].stream'],
    ['convert', { sources: [{ stream: 'pipe' }], target }, 'sources[0].stream'],
    ['convert', { sources: [NONE] }, 'target'],
    ['convert', { sources: [NONE], target: { file: NONE } }, 'target'],
    ['convert', { sources: [NONE], target, onProgress: 'bar' }, 'onProgress'],
    ['convert', { sources: [NONE], target, create: { clusterSize: 1000 } }, 'create.clusterSize'],
    ['convert', { sources: [NONE], target, create: { clusterSize: '64k' } }, 'create.clusterSize'],
    ['convert', { sources: [NONE], target, create: { clustersize: 512 } }, 'create.clustersize'],
    ['convert', { sources: [NONE], target, create: { refcountBits: 3 } }, 'create.refcountBits'],
    ['convert', { sources: [NONE], target, create: { compat: '1.1' } }, 'create.compat'],
    ['convert', { sources: [NONE], target, create: { compat: 4 } }, 'create.compat'],
    ['convert', { sources: [NONE], target, create: { compressionType: 'lz4' } }, 'create.compressionType'],
    ['measure', { size: 0, create: { preallocation: 'some' } }, 'create.preallocation'],
    ['measure', { size: 0, create: { backingFormat: 'vmdk' } }, 'create.backingFormat'],
    ['convert', { sources: [NONE], target, create: { backingFile: 7 } }, 'create.backingFile'],
    ['convert', { sources: [NONE], target, compress: 'yes' }, 'compress'],
    ['convert', { sources: [NONE], target, bitmap: true }, 'bitmap'],
    ['convert', { sources: [NONE], target, compareWithBacking: 'no' }, 'compareWithBacking'],
    ['convert', { sources: [NONE], target, snapshot: {} }, 'snapshot'],
    ['convert', { sources: [NONE], target, snapshot: { idOrName: 7 } }, 'snapshot.idOrName'],
    ['convert', { sources: [NONE], target, snapshot: { idOrName: 'a\0b' } }, 'snapshot.idOrName'],
    ['convert', { sources: [NONE], target, rateLimit: 0 }, 'rateLimit'],
    ['convert', { sources: [NONE], target, minSize: -1 }, 'minSize'],
    ['convert', { sources: [NONE], target, minSize: 1.5 }, 'minSize'],
    ['convert', { sources: [NONE], target, sparseSize: 0.5 }, 'sparseSize'],
    ['convert', { sources: [NONE], target, compressionLevel: 'best' }, 'compressionLevel'],
    ['convert', { sources: [NONE], target, targetCache: 'fast' }, 'targetCache'],
    ['check', {}, 'image'],
    ['check', { image: NONE, nbd: { timeoutMs: 86_400_001 } }, 'nbd.timeoutMs'],
    ['check', { image: NONE, nbd: { retries: 1001 } }, 'nbd.retries'],
    ['check', { image: 7 }, 'image'],
    ['check', { image: ['a'] }, 'image'],
    ['check', { image: NONE, repair: 'some' }, 'repair'],
    ['check', { image: NONE, onFinding: {} }, 'onFinding'],
    ['checksum', {}, 'source'],
    ['checksum', { source: { stream: -1 } }, 'source.stream'],
    ['checksum', { source: NONE, cache: 'fast' }, 'cache'],
    ['compare', { images: [NONE] }, 'images'],
    ['compare', { images: [NONE, NONE, NONE] }, 'images'],
    ['compare', { images: [NONE, null] }, 'images[1]'],
    ['compare', { images: [{ stream: 0 }, NONE] }, 'images[0].stream'],
    ['imageInfo', { image: NONE, deep: 1 }, 'deep'],
    ['mapImage', { image: NONE, startOffset: -1 }, 'startOffset'],
    ['mapImage', { image: NONE, maxLength: '1M' }, 'maxLength'],
    ['measure', { source: NONE, compress: true, sample: 0 }, 'sample'],
    ['measure', { size: -1 }, 'size'],
    ['measure', { size: 2 ** 62 + 2 ** 20 }, 'size'],
  ])('%s(%j): %s', async (name, options, argument) => {
    await expectRefused(name, options, argument);
  });
});

test.each(['convert', 'measure'] as const)('%s takes every engine that the type names', async (name) => {
  for (const engine of ENGINE_NAMES) {
    const options = { ...FUNCTIONS[name].options, compress: true, engine };
    expect([engine, await failureOf(name, options)]).toEqual([
      engine,
      expect.objectContaining({ code: 'ERR_IO', systemCode: 'ENOENT' }),
    ]);
  }
});

test('a size of 2^62, above the safe integers, can be measured', async () => {
  expect(await measure({ size: 2 ** 62 })).toMatchObject({ required: 2 ** 62 });
});
