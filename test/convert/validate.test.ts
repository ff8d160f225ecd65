/** Invalid options of a conversion are refused before any file is opened. */
import { describe, expect, test } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { validate } from '../../src/convert/validate.js';

const PLAIN: ConvertOptions = { sources: ['missing'], target: 'out' };
const stream = { stream: 0, name: 'standard input' };
const snapshot = { idOrName: 'x' };

test('valid options are accepted, whether the files exist or not', () => {
  for (const options of [
    {},
    { sources: ['a', 'b'] },
    { sources: [stream], create: { size: 4096 }, minSize: 4096 },
    { sources: [stream], sourceFormat: 'raw' },
    { create: { backingFile: 'b', backingFormat: 'raw' } },
    { create: { backingFile: 'b' }, keepTarget: true },
    { targetFormat: 'raw', create: { preallocation: 'falloc' } },
    { bitmaps: 'all', snapshot },
    { bitmap: 'b', create: { backingFile: 'b', backingFormat: 'raw' }, compareWithBacking: true },
    { bitmap: 'b', keepTarget: true },
    { targetIsZero: true, keepTarget: true },
    { threads: 1, minSize: 0, sparseSize: 0 },
    { sparseSize: 512 },
    { sparseSize: 16 * 1024 * 1024 },
  ] as const) {
    expect(() => validate({ ...PLAIN, ...options })).not.toThrow();
  }
});

test.each<[Partial<ConvertOptions>, string]>([
  [{ sources: [] }, 'Must specify image file name'],
  [{ targetIsZero: true }, '--target-is-zero requires use of -n flag'],
  [
    { targetIsZero: true, keepTarget: true, create: { backingFile: 'b' } },
    'Cannot use --target-is-zero when the destination image has a backing file',
  ],
  [{ sources: ['a', 'b'], snapshot }, 'No support for concatenating multiple snapshot'],
  [{ sources: ['a', 'b'], bitmaps: 'all' }, 'Copying bitmaps only possible with single source'],
  [
    { sources: ['a', 'b'], create: { backingFile: 'b', backingFormat: 'raw' } },
    'Having a backing file for the target makes no sense when concatenating multiple input images',
  ],
  [
    { bitmap: 'b' },
    '--bitmap stores changes only: name the backup that has the rest with -B FILE -F FMT (or with ' +
      '-o backing_file=FILE,backing_fmt=FMT), or leave out --bitmap for a full backup',
  ],
  [
    { bitmap: 'b', snapshot, create: { backingFile: 'b', backingFormat: 'raw' } },
    'A bitmap lists the changes up to the current state of the disk, so --bitmap cannot be used with -l',
  ],
  [{ bitmap: 'b', sources: ['a', 'b'] }, '--bitmap requires a single source'],
  [
    { compareWithBacking: true, create: { backingFile: 'b', backingFormat: 'raw' } },
    '--compare-with-backing requires --bitmap: without a bitmap -B always compares',
  ],
  [
    { sources: [stream], bitmap: 'b' },
    "Source lacks bitmap support: 'standard input' is a stream of a raw disk",
  ],
  [
    { create: { backingFile: 'b' } },
    'Use of backing file requires explicit backing format (state it with -F raw or -F qcow2)',
  ],
  [{ compress: true, create: { dataFile: 'd' } }, 'Compression and data_file not supported at the same time'],
  [
    { compress: true, create: { preallocation: 'metadata' } },
    'Compression and preallocation not supported at the same time',
  ],
  ...[1, 513, 16 * 1024 * 1024 + 512].map((sparseSize): [Partial<ConvertOptions>, string] => [
    { sparseSize },
    'Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to 16777216. Select 0 to ' +
      'disable sparse detection (fully allocates output).',
  ]),
  [{ minSize: 2, create: { size: 1 } }, 'The size (1 bytes) is below the minimum size (2 bytes)'],
  [
    { sources: [stream], snapshot },
    "Failed to load snapshot: 'standard input' is a stream of a raw disk, which has none",
  ],
  [
    { sources: [stream], bitmaps: 'all' },
    "Source lacks bitmap support: 'standard input' is a stream of a raw disk",
  ],
  [
    { sources: ['a', stream] },
    "'standard input' is a stream, which must be the only source; join the parts on the way ('cat A B | qcow2c " +
      "convert - OUT'), or save it to a file first",
  ],
])('%j is refused', (options, message) => {
  expect(() => validate({ ...PLAIN, ...options })).toThrow(
    expect.objectContaining({ code: 'ERR_USAGE', message }),
  );
});

test('a stream stated as qcow2 is refused with a remedy', () => {
  expect(() => validate({ ...PLAIN, sources: [stream], sourceFormat: 'qcow2' })).toThrow(
    expect.objectContaining({
      code: 'ERR_UNSUPPORTED',
      message:
        "'standard input' is a stream, which can only be a raw disk: a qcow2 image is not read from start to end; " +
        'save it to a file first',
    }),
  );
});

describe('a raw target', () => {
  test.each<[Partial<ConvertOptions>, string]>([
    [
      { create: { backingFile: 'b', backingFormat: 'raw' } },
      "Backing file not supported for file format 'raw'",
    ],
    [{ create: { backingFormat: 'raw' } }, "Backing file format not supported for file format 'raw'"],
    [{ compress: true }, 'Compression not supported for this file format'],
    [{ bitmaps: 'all' }, "Format driver 'raw' does not support bitmaps"],
    [{ bitmap: 'b' }, '--bitmap stores changes over a backing file, which a raw target cannot have'],
    [
      { create: { preallocation: 'metadata' } },
      "Parameter 'preallocation' does not accept value 'metadata' (accepted: off, falloc, full)",
    ],
  ])('cannot have %j', (options, message) => {
    expect(() => validate({ ...PLAIN, targetFormat: 'raw', ...options })).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE', message, expected: 'qcow2', found: 'raw' }),
    );
  });
});
