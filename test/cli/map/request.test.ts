import { describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../../src/cli/command-line.js';
import { run } from '../../oracle/run.js';

const parse = (...words: string[]) => parseCommandLine(['map', ...words]);

describe('the request of map', () => {
  test('is a table of all ranges by default', () => {
    expect(parse('x')).toEqual({ kind: 'map', options: { image: { file: 'x' } }, output: 'human' });
    expect(parse('-f', 'qcow2', '-U', '-s', '1M', '-l', '0x10', '--output=json', 'x')).toEqual({
      kind: 'map',
      options: {
        image: { file: 'x', format: 'qcow2', forceShare: true },
        startOffset: 2 ** 20,
        maxLength: 16,
      },
      output: 'json',
    });
    const long = parse('--format=raw', '--start-offset=5', '--max-length', '2k', '--force-share', 'x');
    expect(long).toMatchObject({ options: { image: { format: 'raw' }, startOffset: 5, maxLength: 2048 } });
    expect(parse('--output', 'svg', 'x')).toMatchObject({ output: 'svg' });
  });

  test('may be an image described by options', () => {
    expect(parse('--image-opts', 'driver=raw,file.filename=x,offset=512')).toMatchObject({
      options: { image: { file: 'x', format: 'raw', offset: 512 } },
    });
  });
});

describe('is refused in the words of qemu-img', () => {
  test.each([
    [['-s', 'x', 'a']],
    [['-s', '-1', 'a']],
    [['-l', '1.5', 'a']],
    [['-l', '8E', 'a']],
    [['-s', '16E', 'a']],
    [[]],
    [['a', 'b']],
    [['-f', 'qcow2', '--image-opts', 'driver=qcow2,file.filename=x']],
  ])('%j', async (words) => {
    const { stderr } = await run('qemu-img', ['map', ...words]);
    const theirs = stderr
      .split('\n')
      .filter((line) => line.startsWith('qemu-img: '))
      .map((line) => line.slice('qemu-img: '.length))
      .join(' ');
    expect(() => parse(...words)).toThrow(theirs);
  });
});

test('refuses other outputs and secrets with its own messages', () => {
  expect(() => parse('--output=xml', 'a')).toThrow(/human, json, svg/);
  expect(() => parse('--object', 'secret,id=s', 'a')).toThrow(/^--object is not supported/);
});
