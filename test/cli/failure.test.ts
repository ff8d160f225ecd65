import { describe, expect, test } from 'vitest';
import { failureText, messageLine } from '../../src/cli/failure.js';
import { ioError } from '../../src/errors.js';

describe('failureText', () => {
  const cause = Object.assign(new Error('ENOSPC: no space'), { errno: -28, code: 'ENOSPC' });
  const error = ioError("Could not write 'x' at offset 512", cause);

  test('is one sentence for an expected failure', () => {
    expect(failureText(error, false)).toBe(
      "qcow2c: Could not write 'x' at offset 512: No space left on device\n",
    );
  });

  test('adds stack, facts and cause with --debug', () => {
    const [first, ...more] = failureText(error, true).split('\n');
    expect(first).toBe("qcow2c: Could not write 'x' at offset 512: No space left on device");
    expect(more.join('\n')).toMatch(/at .*failure\.test\.ts/);
    expect(more.join('\n')).toContain('ENOSPC: no space');
  });

  test('shows no control character with --debug', () => {
    const evil = ioError("Could not read '\x1b[2J\u202e'", new Error('\x9b31m\r'));
    const [, ...story] = failureText(evil, true).split('\n');
    expect(story.join('\n')).toContain("Could not read '\\x1b[2J\\x202e'");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    expect(story.join('')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  });

  test('reports too few descriptors for loading a module', () => {
    const shortage = Object.assign(new Error("EMFILE, open 'part.js'"), { errno: -24, code: 'EMFILE' });
    expect(failureText(shortage, false)).toBe(
      'qcow2c: Could not load a part of the program: Too many open files (ulimit -n sets the limit)\n',
    );
  });

  test.each([
    [new TypeError('x is not a function'), 'x is not a function'],
    ['thrown text', 'thrown text'],
  ])('calls an unexpected error an internal error', (thrown, message) => {
    expect(failureText(thrown, false)).toBe(`qcow2c: internal error: ${message} (--debug shows more)\n`);
  });
});

describe('messageLine', () => {
  test('is one line without control characters', () => {
    expect(messageLine(' first\n  second\nthird\n')).toBe('qcow2c: first second third\n');
    expect(messageLine('a\x1b[2Jb\rc\u202ed')).toBe('qcow2c: a\\x1b[2Jb\\x0dc\\x202ed\n');
    expect(messageLine('a\u200eb\u061cc\u2067d')).toBe('qcow2c: a\\x200eb\\x61cc\\x2067d\n');
    expect(messageLine("it's 'so'")).toBe("qcow2c: it's 'so'\n");
  });
});
