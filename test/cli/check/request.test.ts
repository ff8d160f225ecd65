import { describe, expect, test } from 'vitest';
import { readCheckWords } from '../../../src/cli/check/request.js';
import { parseCommandLine, type Request } from '../../../src/cli/command-line.js';

function checkOf(...words: string[]) {
  const request: Request = parseCommandLine(['check', ...words]);
  if (request.kind !== 'check') throw new Error(`a request for ${request.kind}`);
  return request;
}

test('by default a check uses the page cache and skips the data', () => {
  expect(checkOf('disk.qcow2')).toEqual({
    kind: 'check',
    options: {
      image: { file: 'disk.qcow2' },
      direct: false,
      data: false,
      repair: undefined,
      threads: undefined,
    },
    name: 'disk.qcow2',
    output: 'human',
    progress: 'none',
    quiet: false,
  });
});

test('every option is passed on', () => {
  const words = ['-f', 'qcow2', '-r', 'all', '--data', '--output', 'json', '-m', '3', '-T', 'none', '-p'];
  expect(checkOf(...words, 'disk.qcow2')).toMatchObject({
    options: {
      image: { format: 'qcow2' },
      direct: true,
      data: true,
      repair: 'all',
      threads: 3,
    },
    output: 'json',
    progress: 'auto',
  });
});

test('-U allows concurrent writers and excludes -r', () => {
  expect(checkOf('-U', 'disk.qcow2')).toMatchObject({ options: { image: { forceShare: true } } });
  expect(() => checkOf('-U', '-r', 'leaks', 'disk.qcow2')).toThrow('force-share=on');
});

test('-q shows no progress, with any other options', () => {
  expect(checkOf('-q', '--progress=bar', 'disk.qcow2')).toMatchObject({ quiet: true, progress: 'none' });
});

test('options in place of a name are kept as typed', () => {
  const text = 'driver=qcow2,file.filename=disk.qcow2';
  expect(checkOf('--image-opts', text)).toMatchObject({
    name: text,
    options: { image: { file: 'disk.qcow2', format: 'qcow2' } },
  });
});

describe('refusals have qemu-img’s words', () => {
  test.each([
    [[], /^Expecting one image file name \(.*\)$/],
    [['a', 'b'], /^Expecting one image file name \(.*\)$/],
    [['-T', 'foo', 'a'], /^Invalid source cache option: foo$/],
    [['-f', 'qcow2', '--image-opts', 'a'], /^--image-opts and --format are mutually exclusive$/],
    [['-m', '0', 'a'], /^Invalid number of threads '0'/],
    [['-r', 'some', 'a'], /leaks, all/],
    [['--output', 'xml', 'a'], /human, json/],
  ])('%j', (words, message) => {
    expect(() => checkOf(...words)).toThrow(message);
  });

  test('operands are checked first', () => {
    expect(() => readCheckWords([], { cache: 'foo' })).toThrow('Expecting one image file name');
  });
});
