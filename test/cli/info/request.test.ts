import { describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../../src/cli/command-line.js';
import { type InfoWords, readInfoWords } from '../../../src/cli/info/request.js';

const refused = (operands: readonly string[], words: InfoWords, code: string, message: string) =>
  expect(() => readInfoWords(operands, words)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) }),
  );

describe('the request of info', () => {
  test('is one file as text without progress by default', () => {
    expect(parseCommandLine(['info', 'file:x.qcow2'])).toEqual({
      kind: 'info',
      options: { image: { file: 'x.qcow2' }, backingChain: undefined, deep: undefined, threads: undefined },
      output: 'human',
      progress: 'none',
    });
  });

  test('has all options', () => {
    const words = ['--deep', '-m', '3', '-p', '--output=json', '--backing-chain', '-U', '-f', 'qcow2'];
    expect(parseCommandLine(['info', ...words, 'x'])).toEqual({
      kind: 'info',
      options: {
        image: { file: 'x', format: 'qcow2', forceShare: true },
        backingChain: true,
        deep: true,
        threads: 3,
      },
      output: 'json',
      progress: 'auto',
    });
    expect(
      parseCommandLine(['info', '--progress=json', '--image-opts', 'driver=raw,file.filename=x']),
    ).toMatchObject({
      options: { image: { file: 'x', format: 'raw' } },
      progress: 'json',
    });
  });

  test('is refused in the words of qemu-img', () => {
    refused([], {}, 'ERR_USAGE', 'Expecting one image file name');
    refused(['a', 'b'], {}, 'ERR_USAGE', 'Expecting one image file name');
    refused(
      ['a'],
      { imageOpts: true, format: 'raw' },
      'ERR_USAGE',
      '--image-opts and --format are mutually exclusive',
    );
    refused(
      ['a'],
      { format: 'vmdk' },
      'ERR_UNSUPPORTED',
      "Could not open 'a': Format 'vmdk' is not supported",
    );
    refused(['a'], { parallel: '0' }, 'ERR_USAGE', "Invalid number of threads '0'");
    refused(['ssh:x'], {}, 'ERR_UNSUPPORTED', "Could not open 'ssh:x': Protocol 'ssh' is not supported");
    refused(['a'], { object: 'secret,id=s' }, 'ERR_UNSUPPORTED', '--object is not supported');
  });
});
