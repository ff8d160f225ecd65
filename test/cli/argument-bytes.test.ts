/** No word of the command line stands for another than the one that was typed. */
import { describe, expect, test } from 'vitest';
import { refuseUndecodedWords } from '../../src/cli/options/argument-bytes.js';

const bytes = (...words: readonly (string | Buffer)[]) =>
  Buffer.concat(words.flatMap((word) => [Buffer.from(word as string), Buffer.of(0)]));
const odd = Buffer.from('out\xff.qcow2', 'latin1');

describe('a word with U+FFFD', () => {
  const words = ['convert', '-c', 'in.raw', odd.toString()];

  test('that Node.js put there is refused, with the bytes that were typed', () => {
    const typed = () => bytes('node', 'qcow2c', 'convert', '-c', 'in.raw', odd);
    expect(() => refuseUndecodedWords(words, typed)).toThrow(
      expect.objectContaining({
        code: 'ERR_USAGE',
        message: expect.stringContaining(String.raw`'out\xff.qcow2'`),
      }),
    );
  });

  test('that was typed is what it is', () => {
    refuseUndecodedWords(words, () => bytes('node', 'qcow2c', ...words));
  });

  test('is refused where the system does not tell what was typed', () => {
    expect(() => refuseUndecodedWords(words, () => undefined)).toThrow('is not UTF-8');
  });
});

test('other words are not asked about', () => {
  refuseUndecodedWords(['convert', 'ÿ€😀'], () => {
    throw new Error('asked');
  });
});
