import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { formatOptionsHelp } from '../../src/cli/options/format-option-keys.js';
import {
  type FormatOptions,
  formatOptions,
  readFormatOptions,
} from '../../src/cli/options/format-options.js';
import { parseOptionList } from '../../src/cli/options/option-list.js';
import { Qcow2cError } from '../../src/errors.js';
import type { ImageFormat } from '../../src/image/image-reference.js';
import { useScratch } from '../e2e/scratch.js';
import { run, runOk } from '../oracle/run.js';

const scratch = useScratch();

function read(list: string, compress: boolean, format: ImageFormat = 'qcow2') {
  return formatOptions(readFormatOptions(parseOptionList(list), format), format, compress);
}

function failure(list: string, compress = true, format: ImageFormat = 'qcow2'): Qcow2cError {
  try {
    read(list, compress, format);
  } catch (error) {
    if (error instanceof Qcow2cError) return error;
  }
  throw new Error(`${list} was not refused`);
}

describe('values', () => {
  test.each<[string, FormatOptions]>([
    ['cluster_size=4k', { create: { clusterSize: 4096 } }],
    ['cluster_size=0x10000', { create: { clusterSize: 65536 } }],
    ['cluster_size=1.5k', { create: { clusterSize: 1536 } }],
    ['compat=0.10', { create: { compat: 2 } }],
    ['compat=v2', { create: { compat: 2 } }],
    ['compat=1.1', { create: { compat: 3 } }],
    ['compat=v3', { create: { compat: 3 } }],
    ['compression_type=zlib', { create: { compressionType: 'zlib' } }],
    ['compression_type=zstd', { create: { compressionType: 'zstd' } }],
    ['compression_level=12', { create: {}, compressionLevel: 12 }],
    ['compression_level=-1', { create: {}, compressionLevel: -1 }],
    ['compression_window_bits=12', { create: {}, compressionWindowBits: 12 }],
    ['compression_window_bits=15', { create: {}, compressionWindowBits: 15 }],
    ['refcount_bits=1', { create: { refcountBits: 1 } }],
    ['refcount_bits=0x40', { create: { refcountBits: 64 } }],
    ...['on', 'yes', 'true', 'y'].map(
      (word) => [`lazy_refcounts=${word}`, { create: { lazyRefcounts: true } }] as const,
    ),
    ...['off', 'no', 'false', 'n'].map(
      (word) => [`lazy_refcounts=${word}`, { create: { lazyRefcounts: false } }] as const,
    ),
    ['lazy_refcounts', { create: { lazyRefcounts: true } }],
    ['nolazy_refcounts', { create: { lazyRefcounts: false } }],
    ['cluster_size=4k,compat=v2,cluster_size=8k', { create: { clusterSize: 8192, compat: 2 } }],
    ['size=10G', { create: { size: 10_737_418_240 } }],
    ['extended_l2=on', { create: { extendedL2: true } }],
    ['extended_l2=off,data_file_raw=off', { create: { extendedL2: false, dataFileRaw: false } }],
    ['backing_file=b.raw,backing_fmt=raw', { create: { backingFile: 'b.raw', backingFormat: 'raw' } }],
    ['backing_fmt=qcow2', { create: { backingFormat: 'qcow2' } }],
    ['backing_file=file:/a/b', { create: { backingFile: '/a/b' } }],
    ['backing_file=a,,b', { create: { backingFile: 'a,b' } }],
    ['preallocation=off', { create: { preallocation: 'off' } }],
    ['preallocation=full,preallocation=off', { create: { preallocation: 'off' } }],
    ['encryption=off,nocow=off', { create: {} }],
    ['encryption=on,encryption=off', { create: {} }],
  ] as [string, FormatOptions][])('%s', (list, expected) => {
    expect(read(list, true)).toStrictEqual(expected);
  });

  test.each<[string, FormatOptions]>([
    ['preallocation=metadata', { create: { preallocation: 'metadata' } }],
    ['preallocation=falloc', { create: { preallocation: 'falloc' } }],
    ['preallocation=full', { create: { preallocation: 'full' } }],
    ['preallocation=x,preallocation=full', { create: { preallocation: 'full' } }],
    ['data_file=d,data_file_raw', { create: { dataFile: 'd', dataFileRaw: true } }],
    ['data_file=file:a:b', { create: { dataFile: './a:b' } }],
  ])('%s, without compression', (list, expected) => {
    expect(read(list, false)).toStrictEqual(expected);
  });

  test.each<[string, FormatOptions]>([
    ['size=1M', { create: { size: 1_048_576 } }],
    ['preallocation=off', { create: { preallocation: 'off' } }],
    ['preallocation=falloc', { create: { preallocation: 'falloc' } }],
    ['preallocation=full', { create: { preallocation: 'full' } }],
    ['nocow=off', { create: {} }],
  ])('%s, for a raw image', (list, expected) => {
    expect(read(list, false, 'raw')).toStrictEqual(expected);
  });
});

describe('refusals in the words of qemu-img', () => {
  beforeAll(() => writeFileSync(scratch('source'), ''));

  /** What qemu-img says, without its name, the target's name and the hints on further lines. */
  async function qemuImg(list: string, compress: boolean, format = 'qcow2'): Promise<string> {
    const args = ['convert', '-O', format, ...(compress ? ['-c'] : []), '-o', list];
    const { status, stderr } = await run('qemu-img', [...args, scratch('source'), scratch('target')]);
    expect(status).toBe(1);
    const [line = ''] = stderr.split('\n');
    return line.replace('qemu-img: ', '').replace(/^.*error while converting qcow2: /, '');
  }

  test.each([
    'bogus=1',
    'bogus',
    'nonsense',
    'cluster-size=4k',
    'Cluster_size=4k',
    '=x',
    'no',
    'helpx',
    'constructor=1',
    'cluster_size=4k,bogus',
    'cluster_size=x',
    'cluster_size=',
    'cluster_size',
    'cluster_size=-4k',
    'cluster_size=4k=5',
    'cluster_size=x,cluster_size=4k',
    'cluster_size=16E',
    'size=x',
    'size=-1',
    'size=16E',
    'refcount_bits=x',
    'refcount_bits=1k',
    'refcount_bits=16 ',
    'refcount_bits=99999999999999999999999',
    'lazy_refcounts=maybe',
    'lazy_refcounts=ON',
    'lazy_refcounts=1',
    'lazy_refcounts=',
    'encryption=maybe',
    'extended_l2=maybe',
    'preallocation=metadata',
    'preallocation=falloc',
    'preallocation=full',
    'encryption=on',
    'encrypt.format=luks',
    'preallocation=full,encryption=on',
    'preallocation=x',
    'extent_size_hint=x',
    'nocow=x',
    'data_file_raw=x',
    'encrypt.bogus=1',
  ])('-c -o %s', async (list) => {
    const words = await qemuImg(list, true);
    const { code, message } = failure(list);
    expect(code).toBe('ERR_USAGE');
    // After the sentence there may be a hint in brackets.
    expect(message.replace(/ \(.*\)$/, '')).toBe(words);
  });

  test.each([
    'bogus=1',
    'cluster_size=4k',
    'backing_file=b',
    'encryption=off',
    'compat=v3',
    'size=x',
    'nocow=x',
    'extent_size_hint=x',
  ])('-O raw -o %s', async (list) => {
    const words = await qemuImg(list, false, 'raw');
    const { code, message } = failure(list, false, 'raw');
    expect(code).toBe('ERR_USAGE');
    expect(message.replace(/ \(.*\)$/, '')).toBe(words);
  });

  test.each([
    'compat=x',
    'compat=',
    'compat',
    'compat=V3',
    'compression_type=lzma',
    'preallocation=x',
    'backing_file=b,backing_fmt=x',
  ])("-o %s, with the key's name and the accepted values", async (list) => {
    const parameter = /Parameter '.*?'/;
    const [key = ''] = (list.split(',').at(-1) ?? '').split('=');
    const words = await qemuImg(list, false);
    expect(failure(list, false).message).toMatch(/ \(accepted: .+\)$/);
    expect(failure(list, false).message.replace(/ \(.*\)$/, '')).toBe(
      words.replace(parameter, `Parameter '${key}'`),
    );
  });
});

describe('refusals without a counterpart in qemu-img', () => {
  test.each([
    ['encryption=on', 'qcow2c does not encrypt'],
    ['encrypt.key-secret=s', 'qcow2c does not encrypt'],
    ['nocow=on', 'set it on the directory or on an existing file, and use -n'],
    ['extent_size_hint=1M', 'set it on the directory or on an existing file, and use -n'],
  ])('-o %s is not supported, with the reason', (list, why) => {
    expect(failure(list, false)).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: `Option '${list}' is not supported (${why})`,
    });
  });

  test.each(['nocow=on', 'extent_size_hint=1M'])('-O raw -o %s neither', (list) => {
    expect(failure(list, false, 'raw')).toMatchObject({ code: 'ERR_UNSUPPORTED' });
  });

  test('a raw image has no tables to allocate in advance', () => {
    expect(failure('preallocation=metadata', false, 'raw').message).toBe(
      "Parameter 'preallocation' does not accept value 'metadata' (accepted: off, falloc, full)",
    );
  });

  test('an external data file cannot go with -c', () => {
    expect(failure('data_file=d')).toMatchObject({
      code: 'ERR_USAGE',
      message: 'Compression and data_file not supported at the same time',
    });
  });

  test.each(['backing_file', 'data_file'])('%s must not have a protocol', (key) => {
    expect(failure(`${key}=nbd://host/disk`, false)).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: "'nbd://host/disk' is an NBD export, and a new image can name a file or a device only",
    });
    expect(failure(`${key}=`, false).message).toBe("The 'file' block driver requires a file name");
  });

  test('the backing file is raw or qcow2', () => {
    expect(failure('backing_fmt=vmdk')).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: "Backing file format 'vmdk' is not supported (it must be raw or qcow2)",
    });
  });

  test('a size larger than any file is out of range', () => {
    expect(failure('size=8P', false).message).toBe("Value '8P' is out of range for parameter 'size'");
    expect(read('size=7P', false).create.size).toBe(7 * 2 ** 50);
  });

  test('a window other than 12 or 15 bits is refused', () => {
    expect(failure('compression_window_bits=13').message).toBe(
      "Parameter 'compression_window_bits' does not accept value '13' (accepted: 12, 15)",
    );
  });
});

describe('-o help', () => {
  test('has the layout of qemu-img, and the same names and types of keys', async () => {
    const help = formatOptionsHelp('qcow2');
    const [title, ...lines] = help.trimEnd().split('\n');
    const theirs = (await runOk('qemu-img', ['convert', '-O', 'qcow2', '-o', 'help'])).split('\n');
    expect(title).toBe(theirs[0]);
    const keyPart = (line: string) => line.slice(0, line.indexOf(' - ') + 3);
    const ours = lines.filter((line) => !/^ {2}compression_(level|window_bits)=/.test(line)).map(keyPart);
    expect(ours.length).toBeGreaterThan(6);
    expect(theirs.map(keyPart)).toEqual(expect.arrayContaining(ours));
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(100);
  });

  test('lists exactly the supported keys, sorted', () => {
    const keys = (format: ImageFormat) =>
      [...formatOptionsHelp(format).matchAll(/^ {2}(\w+)=/gm)].map(([, key]) => key);
    expect(keys('qcow2')).toEqual([
      'backing_file',
      'backing_fmt',
      'cluster_size',
      'compat',
      'compression_level',
      'compression_type',
      'compression_window_bits',
      'data_file',
      'data_file_raw',
      'extended_l2',
      'lazy_refcounts',
      'preallocation',
      'refcount_bits',
      'size',
    ]);
    expect(keys('raw')).toEqual(['preallocation', 'size']);
    expect(formatOptionsHelp('raw')).toMatch(/^Supported raw options:\n {2}preallocation=<str> +- .*\n/);
  });
});
