/** The library opens the file that its caller names, even if the working directory changes later. */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { fileName, image, source, target } from '../../src/arguments/images.js';
import type { Taker } from '../../src/arguments/takers.js';
import { useScratch } from '../e2e/scratch.js';

const path = useScratch();
const start = process.cwd();
afterEach(() => process.chdir(start));

describe('a name', () => {
  test('is relative to the working directory of the call, and is not normalized', () => {
    process.chdir(path(''));
    const here = process.cwd();
    expect(fileName('link/../x.raw', 'target')).toBe(`${here}/link/../x.raw`);
    expect(fileName('/a/../b', 'target')).toBe('/a/../b');
  });

  test('of an NBD export is unchanged, of an image as of a target', () => {
    for (const take of [image, target]) expect(take('nbd://host/x', 'it')).toBe('nbd://host/x');
  });

  test('is unchanged if the working directory is not UTF-8', () => {
    const odd = Buffer.concat([Buffer.from(path('')), Buffer.from('/odd\xff', 'latin1')]);
    mkdirSync(odd);
    process.chdir(path(''));
    // Node.js takes no bytes here; the system leads there through the descriptor's link.
    const directory = openSync(odd, 'r');
    process.chdir(`/proc/self/fd/${directory}`);
    expect(fileName('x.raw', 'target')).toBe('x.raw');
    process.chdir(start);
    closeSync(directory);
  });

  test.each([
    ['bytes', Buffer.from('out\xff', 'latin1'), /'target' must be a string \(.*symbolic link.*, not bytes$/],
    ['a number', 7, /not the number 7$/],
    ['missing', undefined, /not undefined$/],
    ['null', null, /not null$/],
    ['empty', '', /not the string ''$/],
    ['text with a NUL byte', 'a\0b', /^'target' must not contain a NUL byte$/],
    ['text with half a surrogate pair', 'a\ud800', /^'target' must be well-formed Unicode$/],
  ])('cannot be %s', (_, name, message) => {
    expect(() => fileName(name, 'target')).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE', message: expect.stringMatching(message) }),
    );
  });
});

test('the names of all files of an image are made absolute', () => {
  process.chdir(path(''));
  const here = process.cwd();
  const given = {
    file: 'top',
    format: 'qcow2',
    dataFile: 'data',
    backing: { file: 'base', backing: 'none' },
  } as const;
  expect(image(given, 'image')).toEqual({
    ...given,
    file: `${here}/top`,
    dataFile: `${here}/data`,
    backing: { file: `${here}/base`, backing: 'none' },
  });
  expect(source('a', 'source')).toBe(`${here}/a`);
});

test('a source can be a descriptor or a Readable', () => {
  expect(source({ stream: 0, name: 'standard input' }, 'source')).toEqual({
    stream: 0,
    name: 'standard input',
  });
  const stream = Readable.from([]);
  expect(source({ stream }, 'source')).toEqual({ stream });
  expect(() => source({ stream: new ReadableStream() }, 'source')).toThrow(
    "'source.stream' must be a file descriptor or a Readable of Node.js, not an object of type 'ReadableStream'",
  );
});

describe('a value that is no image is refused, with what is expected', () => {
  const other = 'a file name or an object with';
  test.each<[Taker<unknown>, unknown, string]>([
    [image, 7, `${other} the file name in \`file\`, not the number 7`],
    [image, new URL('file:///a'), `${other} the file name in \`file\`, not an object of type 'URL'`],
    [image, Promise.resolve('a'), `${other} the file name in \`file\`, not an object of type 'Promise'`],
    [source, Readable.from([]), `${other} \`file\` or \`stream\`, not an object`],
    [source, 0, `${other} \`file\` or \`stream\`, not the number 0`],
    [target, new PassThrough(), `${other} \`stream\`, not an object`],
    [target, { file: 'a' }, `${other} \`stream\`, not an object`],
  ])('%o %o', (take, value, expected) => {
    expect(() => take(value, 'it')).toThrow(`'it' must be ${expected}`);
  });
});
