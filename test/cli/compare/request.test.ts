import { describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../../src/cli/command-line.js';
import type { CompareRequest } from '../../../src/cli/compare/request.js';

const requestOf = (...words: string[]) => parseCommandLine(['compare', ...words]) as CompareRequest;
const optionsOf = (...words: string[]) => requestOf(...words).options;

describe('the words of compare', () => {
  test('are two images by default', () => {
    expect(optionsOf('one', 'file:other')).toEqual({
      images: [{ file: 'one' }, { file: 'other', formatOption: '-F ' }],
      strict: undefined,
      cache: undefined,
      threads: undefined,
    });
  });

  test('have short and long options', () => {
    const expected = {
      images: [
        { file: 'one', format: 'raw' },
        { file: 'other', format: 'qcow2' },
      ],
      strict: true,
      cache: 'none',
      threads: 3,
    };
    expect(optionsOf('-s', '-f', 'raw', '-F', 'qcow2', '-T', 'none', '-m3', 'one', 'other')).toEqual(
      expected,
    );
    const long = ['--strict', '--a-format=raw', '--b-format=qcow2', '--cache=none', '--parallel=3'];
    expect(optionsOf('one', ...long, 'other')).toEqual(expected);
  });

  test('can be options instead of names', () => {
    const image = 'driver=qcow2,file.filename=a,backing=';
    expect(optionsOf('--image-opts', image, 'driver=raw,file.filename=b,size=1k').images).toEqual([
      { file: 'a', format: 'qcow2', backing: 'none' },
      { file: 'b', format: 'raw', size: 1024 },
    ]);
  });

  test.each([[[]], [['one']], [['one', 'two', 'three']]])('%j are not two images', (files) => {
    expect(() => requestOf(...files)).toThrow('Expecting two image file names');
  });

  test.each([
    [['-T', 'foo'], 'Invalid source cache option: foo'],
    [['-f', 'foo'], "Could not open 'one': Unknown driver 'foo' (known: raw, qcow2)"],
    [['-F', 'vmdk'], "Could not open 'two': Format 'vmdk' is not supported"],
    [['--image-opts', '-f', 'raw'], '--image-opts and --format are mutually exclusive'],
    [['-m', '0'], "Invalid number of threads '0'"],
    [['--object', 'secret,id=a'], '--object is not supported'],
  ])('%j are refused', (words, message) => {
    expect(() => requestOf(...words, 'one', 'two')).toThrow(message);
  });
});
