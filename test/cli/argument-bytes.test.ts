/** Every word of the command line is the typed one or is refused. */
import { describe, expect, test } from 'vitest';
import { refuseUndecodedWords } from '../../src/cli/options/argument-bytes.js';

const bytes = (...words: readonly (string | Buffer)[]) =>
  Buffer.concat(words.flatMap((word) => [Buffer.from(word as string), Buffer.of(0)]));
const odd = Buffer.from('out\xff.qcow2', 'latin1');

describe('a word with U+FFFD', () => {
  const words = ['convert', '-c', 'in.raw', odd.toString()];

  test('inserted by Node.js is refused, with the typed bytes', () => {
    const typed = () => bytes('node', 'qcow2c', 'convert', '-c', 'in.raw', odd);
    expect(() => refuseUndecodedWords(words, typed)).toThrow(
      expect.objectContaining({
        code: 'ERR_USAGE',
        message: expect.stringContaining(String.raw`'out\xff.qcow2'`),
      }),
    );
  });

  test('that was typed is accepted', () => {
    refuseUndecodedWords(words, () => bytes('node', 'qcow2c', ...words));
  });

  test('is refused if the system does not provide the typed bytes', () => {
    expect(() => refuseUndecodedWords(words, () => undefined)).toThrow('is not UTF-8');
  });
});

test('other words do not need the typed bytes', () => {
  refuseUndecodedWords(['convert', 'ÿ€😀'], () => {
    throw new Error('asked');
  });
});
