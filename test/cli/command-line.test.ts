import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../src/cli/command-line.js';
import { formatOptionsHelp } from '../../src/cli/format-options.js';
import type { ConvertOptions } from '../../src/convert/options.js';
import { Qcow2cError } from '../../src/errors.js';
import { useScratch } from '../e2e/scratch.js';
import { run } from '../oracle/run.js';

/** What `convert` with no more than two file names comes to; the rest is left to the library's defaults. */
const PLAIN: ConvertOptions = {
  sources: ['in'],
  target: 'out.qcow2',
  targetFormat: 'qcow2',
  compress: false,
  create: {},
  keepTarget: false,
};

function parse(...words: string[]) {
  const request = parseCommandLine(['convert', ...words]);
  if (request.kind !== 'convert') throw new Error(`not a conversion: ${request.kind}`);
  return request;
}

function failure(...words: string[]): Qcow2cError {
  try {
    parseCommandLine(words);
  } catch (error) {
    if (error instanceof Qcow2cError) return error;
    throw error;
  }
  throw new Error(`${words.join(' ')} was not refused`);
}

describe('options of convert', () => {
  test.each<[string, Partial<ConvertOptions>]>([
    ['in out.qcow2', {}],
    ['-c in out.qcow2', { compress: true }],
    ['--compress in out.qcow2', { compress: true }],
    ['a b c out.qcow2', { sources: ['a', 'b', 'c'] }],
    ['-f raw in out.qcow2', { sourceFormat: 'raw' }],
    ['--source-format=qcow2 in out.qcow2', { sourceFormat: 'qcow2' }],
    ['-O raw in out.qcow2', { targetFormat: 'raw' }],
    ['--target-format raw in out.qcow2', { targetFormat: 'raw' }],
    ['-O raw -O qcow2 -f qcow2 -f raw in out.qcow2', { sourceFormat: 'raw' }],
    ['-S 0 in out.qcow2', { sparseSize: 0 }],
    ['-S 64k in out.qcow2', { sparseSize: 65536 }],
    ['--sparse-size=1.5k in out.qcow2', { sparseSize: 1536 }],
    ['-S 16M in out.qcow2', { sparseSize: 16777216 }],
    ['-m 1 in out.qcow2', { threads: 1 }],
    ['-m 0x10 in out.qcow2', { threads: 16 }],
    ['--parallel 1023 in out.qcow2', { threads: 1023 }],
    ['-W in out.qcow2', {}],
    ['--oob-writes in out.qcow2', {}],
    ['-t none in out.qcow2', { targetCache: 'none' }],
    ['--target-cache=unsafe in out.qcow2', { targetCache: 'unsafe' }],
    ['-T directsync in out.qcow2', { sourceCache: 'directsync' }],
    ['--source-cache writethrough in out.qcow2', { sourceCache: 'writethrough' }],
    ['-t writeback -T none in out.qcow2', { targetCache: 'writeback', sourceCache: 'none' }],
    ['-n in out.qcow2', { keepTarget: true }],
    ['--no-create in out.qcow2', { keepTarget: true }],
    ['--compressed-cache-size 0 in out.qcow2', { compressedCacheSize: 0 }],
    ['--compressed-cache-size=4M in out.qcow2', { compressedCacheSize: 4194304 }],
    ['--engine libdeflate in out.qcow2', { engine: 'libdeflate' }],
    ['--engine=libzstd in out.qcow2', { engine: 'libzstd' }],
    ['--engine node in out.qcow2', { engine: 'node' }],
    ['--engine auto in out.qcow2', {}],
    ['--debug in out.qcow2', {}],
    ['-o cluster_size=4k in out.qcow2', { create: { clusterSize: 4096 } }],
    ['-o cluster_size=4k,compat=v2 in out.qcow2', { create: { clusterSize: 4096, compat: 2 } }],
    ['-o cluster_size=4k -o compat=v2 in out.qcow2', { create: { clusterSize: 4096, compat: 2 } }],
    ['-o cluster_size=4k -o cluster_size=8k in out.qcow2', { create: { clusterSize: 8192 } }],
    ['--target-format-options refcount_bits=1 in out.qcow2', { create: { refcountBits: 1 } }],
    ['-o compression_level=3 in out.qcow2', { compressionLevel: 3 }],
    ['-n -o compression_level=3 in out.qcow2', { keepTarget: true, compressionLevel: 3 }],
    ['-o compression_window_bits=12 in out.qcow2', { compressionWindowBits: 12 }],
  ])('convert %s', (line, options) => {
    expect(parse(...line.split(' ')).options).toEqual({ ...PLAIN, ...options });
  });

  test.each([
    ['options after the file names', 'in out.qcow2 -c -O qcow2 -m 2'],
    ['options between the file names', 'in -c -m 2 out.qcow2 -O qcow2'],
    ['values glued to letters', '-c -Oqcow2 -m2 in out.qcow2'],
    ['letters together', '-cWOqcow2 -m 2 in out.qcow2'],
    ['a value that looks like an option', '-c -O qcow2 -m 2 in out.qcow2 -Ounknown -O qcow2'],
    ['two dashes before the file names', '-cm2 -O qcow2 -- in out.qcow2'],
  ])('%s', (_what, line) => {
    expect(parse(...line.split(' ')).options).toEqual({ ...PLAIN, compress: true, threads: 2 });
  });

  test('a list may be glued to -o', () => {
    expect(parse('-ocluster_size=4k,compat=v2', 'in', 'out.qcow2').options.create).toEqual({
      clusterSize: 4096,
      compat: 2,
    });
  });

  test('file names may be anything', () => {
    const names = ['-', ' ', 'convert', '=', 'in=out,x'];
    expect(parse(...names, 'out.qcow2').options.sources).toEqual(names);
    expect(parse('--', '-c', '--progress', '--', '-o').options).toMatchObject({
      sources: ['-c', '--progress', '--'],
      target: '-o',
      compress: false,
    });
  });

  test.each([
    ['in out', 'raw'],
    ['in out.raw', 'raw'],
    ['in.qcow2 out', 'raw'],
    ['in out.qcow2', 'qcow2'],
    ['-c in out', 'qcow2'],
    ['-c in out.raw', 'qcow2'],
    ['-O raw in out.qcow2', 'raw'],
    ['-O qcow2 in out.raw', 'qcow2'],
  ])('convert %s makes %s', (line, format) => {
    expect(parse(...line.split(' ')).options.targetFormat).toBe(format);
  });
});

describe('progress and messages', () => {
  test.each([
    ['', 'none', false],
    ['-p', 'auto', false],
    ['--progress', 'auto', false],
    ['--progress=auto', 'auto', false],
    ['--progress=bar', 'bar', false],
    ['--progress=qemu', 'qemu', false],
    ['--progress=json', 'json', false],
    ['--progress=none', 'none', false],
    ['-p --progress=json', 'json', false],
    ['--progress=json -p', 'json', false],
    ['-p --progress=none', 'none', false],
    ['-v', 'none', true],
    ['--verbose -p', 'auto', true],
    ['-q', 'none', false],
    ['-qp', 'none', false],
    ['--quiet --progress=bar -v', 'none', false],
  ])('%j', (line, progress, verbose) => {
    const words = line.split(' ').filter((word) => word !== '');
    expect(parse(...words, 'in', 'out.qcow2')).toMatchObject({ progress, verbose });
    expect(parse('in', 'out.qcow2', ...words)).toMatchObject({ progress, verbose });
  });

  test('--progress takes no file name for its style', () => {
    expect(parse('--progress', 'in', 'out.qcow2').options.sources).toEqual(['in']);
  });
});

describe('texts', () => {
  test.each(['--help', '-h', 'convert --help', 'convert -h', 'convert -ch', 'convert in out --help'])(
    '%s prints help',
    (line) => {
      const request = parseCommandLine(line.split(' '));
      expect(request).toMatchObject({ kind: 'text', text: expect.stringContaining('Usage: qcow2c convert') });
    },
  );

  test.each(['--version', '-V', 'convert --version', 'convert in out -V'])('%s asks for versions', (line) => {
    expect(parseCommandLine(line.split(' '))).toEqual({ kind: 'versions' });
  });

  test.each([
    '-o help',
    '-o ?',
    '-O qcow2 -o help',
    '-o cluster_size=4k,help in out',
    '-c -o help -n',
    '-ohelp',
  ])('convert %s lists the keys', (line) => {
    const text = formatOptionsHelp('qcow2');
    expect(parseCommandLine(['convert', ...line.split(' ')])).toEqual({ kind: 'text', text });
  });

  test('the keys of a raw image are listed when -O says raw', () => {
    const text = formatOptionsHelp('raw');
    expect(parseCommandLine(['convert', '-O', 'raw', '-o', 'help'])).toEqual({ kind: 'text', text });
  });
});

describe('refusals in the words of qemu-img', () => {
  const scratch = useScratch();
  beforeAll(() => writeFileSync(scratch('in'), ''));

  test.each([
    { words: [] },
    { words: ['in'] },
    { words: ['-c', 'in'] },
    { words: ['-O', 'qcow2', '-o', 'in', 'out'] },
    { words: ['-S', '1', 'in', 'out'] },
    { words: ['-S', '511', 'in', 'out'] },
    { words: ['-S', '1.1k', 'in', 'out'] },
    { words: ['-S', '17M', 'in', 'out'] },
    { words: ['-S', '2G', 'in', 'out'] },
    { words: ['-S', '9E', 'in', 'out'] },
    { words: ['-S', '16E', 'in', 'out'] },
    { words: ['-S', '', 'in', 'out'] },
    { words: ['-S', 'x', 'in', 'out'] },
    { words: ['-S', '-1', 'in', 'out'] },
    { words: ['-S', '4kk', 'in', 'out'] },
    { words: ['-t', 'bad', 'in', 'out'] },
    { words: ['-t', '', 'in', 'out'] },
    { words: ['-T', 'bad', 'in', 'out'] },
    { words: ['-T', 'None', 'in', 'out'] },
    { words: ['-O', 'bogus', 'in', 'out'] },
    { words: ['-f', 'bogus', 'in', 'out'] },
    { words: ['-O', 'bogus', '-o', 'help'] },
    { words: ['-O', 'qcow2', '-o', '', 'in', 'out'] },
    { words: ['-O', 'qcow2', '-o', ',', 'in', 'out'] },
    { words: ['-O', 'qcow2', '-o', 'compat=v3,', 'in', 'out'] },
    { words: ['-O', 'qcow2', '-o', ',help', 'in', 'out'] },
    { words: ['-O', 'qcow2', '-o', 'bogus=1', 'in', 'out'] },
    { words: ['-n', '-o', 'cluster_size=4k', 'in', 'out'] },
    { words: ['-n', '-o', 'size=1M'] },
    { words: ['-S', '1', '-n', '-o', 'size=1M'] },
    { words: ['-T', 'bad', '-O', 'bogus'] },
    { words: ['-T', 'bad', '-O', 'bogus', 'in', 'out'] },
    { words: ['-O', 'bogus', '-o', 'bogus=1', '-t', 'bad', 'in', 'out'] },
    { words: ['-O', 'qcow2', '-o', 'bogus=1', '-t', 'bad', 'in', 'out'] },
  ])('convert $words', async ({ words }) => {
    const { status, stderr } = await run('qemu-img', ['convert', ...words], { cwd: scratch() });
    expect(status).toBe(1);
    const theirs = stderr.replace(/\n$/, '').replaceAll('\n', ' ').replaceAll('qemu-img: ', '');
    const { code, message } = failure('convert', ...words);
    expect(code).toBe('ERR_USAGE');
    // After the sentence there may be a hint in brackets of our own.
    expect([message, message.replace(/ \([^(]*\)$/, '')]).toContain(theirs);
  });
});

describe('refusals of our own', () => {
  test.each([
    [[], "Not enough arguments; try 'qcow2c --help'"],
    [['info', 'x'], "unknown command 'info'; try 'qcow2c --help'"],
    [['convrt', 'a', 'b'], "unknown command 'convrt' (Did you mean convert?)"],
    [['-c', 'a', 'b'], "unknown option '-c'; try 'qcow2c --help'"],
    [['convert', '-x', 'a', 'b'], "unknown option '-x'; try 'qcow2c convert --help'"],
    [['convert', '-cx', 'a', 'b'], "unknown option '-x'; try 'qcow2c convert --help'"],
    [
      ['convert', '--spare-size=4k', 'a', 'b'],
      "unknown option '--spare-size=4k'; try 'qcow2c convert --help'",
    ],
    [
      ['convert', '--spare-size', '4k', 'a', 'b'],
      "unknown option '--spare-size' (Did you mean --sparse-size?)",
    ],
    [
      ['convert', 'a', 'b', '-f'],
      "option '-f, --source-format <format>' argument missing; try 'qcow2c convert --help'",
    ],
    [
      ['convert', '--engine', 'zip', 'a', 'b'],
      "option '--engine <name>' argument 'zip' is invalid. Allowed choices are auto, libdeflate, libzstd, node; " +
        "try 'qcow2c convert --help'",
    ],
    [
      ['convert', '--progress=dots', 'a', 'b'],
      "option '--progress <style>' argument 'dots' is invalid. Allowed choices are auto, bar, qemu, json, none; " +
        "try 'qcow2c convert --help'",
    ],
    [
      ['convert', '--compressed-cache-size', '8E', 'a', 'b'],
      'Invalid compressed cache size specified. Must be between 0 and 9007199254740991.',
    ],
  ])('%j', (words, message) => {
    expect(failure(...words)).toMatchObject({ code: 'ERR_USAGE', message });
  });

  test.each(['0', '-1', '1024', '1.5', '2k', 'x', '', '99999999999999999999999'])('-m %j', (text) => {
    expect(failure('convert', '-m', text, 'a', 'b')).toMatchObject({
      code: 'ERR_USAGE',
      message: `Invalid number of threads '${text}'. Allowed number of threads is between 1 and 1023`,
    });
  });
});
