/** Options that have no effect without compression are refused without it, by the library and by the command line. */
import { describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../src/cli/command-line.js';
import type { ConvertOptions } from '../../src/convert/options.js';
import { validate } from '../../src/convert/validate.js';
import { type MeasureOptions, validateMeasurement } from '../../src/measure/options.js';

/** A tuple: the flag in the message, the words, and the library's options; undefined: the library has none. */
type Case<Options> = readonly [flag: string, words: string, options: Partial<Options> | undefined];

const BOTH: readonly Case<MeasureOptions>[] = [
  ['--fast', '--fast', undefined],
  ['--check-payloads', '--check-payloads', { checkPayloads: true }],
  ['--engine isal', '--engine isal', { engine: 'isal' }],
  ['--engine libdeflate', '--engine libdeflate', { engine: 'libdeflate' }],
  ['--engine libzstd', '--engine libzstd', { engine: 'libzstd' }],
];
const LEVELS: readonly Case<MeasureOptions>[] = [
  ['-o compression_level', '-o compression_level=3', { compressionLevel: 3 }],
  ['-o compression_window_bits', '-o compression_window_bits=15', { compressionWindowBits: 15 }],
];
const OF_CONVERT: readonly Case<ConvertOptions>[] = [
  ['--recompress', '--recompress', { recompress: true }],
  ['--compressed-cache-size', '--compressed-cache-size 0', { compressedCacheSize: 0 }],
];
const OF_MEASURE: readonly Case<MeasureOptions>[] = [
  // For convert it also selects what inflates the sources.
  ['--engine node', '--engine node', { engine: 'node' }],
  ['--sample', '--sample 5', { sample: 5 }],
  ['--bitmap', '--bitmap b', { bitmap: 'b' }],
  ['--compare-with-backing', '--compare-with-backing', { compareWithBacking: true }],
];

const COMMANDS = [
  {
    command: 'convert',
    files: ['in', 'out'],
    take: (options: object) => validate({ sources: ['in'], target: 'out', ...options }),
    cases: [...BOTH, ...OF_CONVERT],
  },
  {
    command: 'measure',
    files: ['in'],
    take: (options: object) => validateMeasurement({ source: 'in', ...options }),
    cases: [...BOTH, ...OF_MEASURE],
  },
];

describe.each(COMMANDS)('$command', ({ command, files, take, cases }) => {
  const parse = (...words: string[]) =>
    parseCommandLine([command, ...words.flatMap((word) => word.split(' ')), ...files]);
  const refusal = (message: string) => expect.objectContaining({ code: 'ERR_USAGE', message });

  test.each([...cases, ...LEVELS])('refuses %s without -c', (flag, words, options) => {
    const error = refusal(`${flag} requires -c`);
    expect(() => parse('-O qcow2', words)).toThrow(error);
    if (options === undefined) return;
    expect(() => take({ targetFormat: 'qcow2', ...options })).toThrow(error);
    expect(() => take({ compress: false, ...options })).toThrow(error);
  });

  test.each(cases)('refuses %s for a raw target, which -c alone does not help', (flag, words, options) => {
    const error = refusal(`${flag} requires -c and a qcow2 target`);
    expect(() => parse('-O raw', words)).toThrow(error);
    if (options !== undefined) expect(() => take({ targetFormat: 'raw', ...options })).toThrow(error);
    // Without -O the target is raw here, and qcow2 with -c.
    expect(() => parse(words)).toThrow(refusal(`${flag} requires -c`));
    expect(() => parse('-O raw -c', words)).toThrow(
      refusal('Compression not supported for this file format'),
    );
  });

  test.each(BOTH)('takes %s with -c', (_, words, options) => {
    expect(() => parse('-c', words)).not.toThrow();
    expect(() => take({ compress: true, ...options })).not.toThrow();
  });

  test('takes without -c what has an effect on other images, or is a default', () => {
    expect(() => parse('-O qcow2 -o compression_type=zstd --engine auto')).not.toThrow();
    const defaults = { checkPayloads: false, recompress: false, engine: undefined };
    expect(() => take({ create: { compressionType: 'zstd' }, ...defaults })).not.toThrow();
  });
});

test('convert takes --engine node without -c: it inflates the sources with Node.js', () => {
  expect(() => parseCommandLine(['convert', '--engine', 'node', 'in', 'out'])).not.toThrow();
  expect(() => validate({ sources: ['in'], engine: 'node' })).not.toThrow();
});
