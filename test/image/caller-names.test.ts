/** The library opens the file that the name means at the time of the call, for any spelling of the name. */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { callerImage, callerName, callerSource } from '../../src/image/caller-names.js';
import { useScratch } from '../e2e/scratch.js';

const path = useScratch();
const start = process.cwd();
afterEach(() => process.chdir(start));

describe('a name', () => {
  test('starts at the working directory of the call, and is not normalised', () => {
    process.chdir(path(''));
    const here = process.cwd();
    expect(callerName('link/../x.raw', 'target')).toBe(`${here}/link/../x.raw`);
    expect(callerName('/a/../b', 'target')).toBe('/a/../b');
    expect(callerName('', 'target')).toBe('');
  });

  test('stays relative if the working directory is not UTF-8', () => {
    const odd = Buffer.concat([Buffer.from(path('')), Buffer.from('/odd\xff', 'latin1')]);
    mkdirSync(odd);
    process.chdir(path(''));
    // Node.js cannot change to a directory given as bytes; the descriptor's link leads there.
    const directory = openSync(odd, 'r');
    process.chdir(`/proc/self/fd/${directory}`);
    expect(callerName('x.raw', 'target')).toBe('x.raw');
    process.chdir(start);
    closeSync(directory);
  });

  test.each([
    ['bytes', Buffer.from('out\xff', 'latin1'), /'target' must be a string, not bytes.*symbolic link/],
    ['a number', 7, /not number/],
    ['nothing', undefined, /not undefined/],
    ['null', null, /not null/],
    ['a NUL byte', 'a\0b', /NUL byte/],
    ['an unpaired surrogate', 'a\ud800', /an unpaired surrogate/],
  ])('cannot be %s', (_, name, message) => {
    expect(() => callerName(name, 'target')).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE', message: expect.stringMatching(message) }),
    );
  });
});

test('an image’s own names are all resolved', () => {
  process.chdir(path(''));
  const here = process.cwd();
  const image = {
    file: 'top',
    format: 'qcow2',
    dataFile: 'data',
    backing: { file: 'base', backing: 'none' },
  } as const;
  expect(callerImage(image, 'image')).toEqual({
    ...image,
    file: `${here}/top`,
    dataFile: `${here}/data`,
    backing: { file: `${here}/base`, backing: 'none' },
  });
  expect(callerSource('a', 'source')).toBe(`${here}/a`);
  expect(callerSource({ stream: 0, name: 'standard input' }, 'source')).toEqual({
    stream: 0,
    name: 'standard input',
  });
});
