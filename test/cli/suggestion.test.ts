import { describe, expect, test } from 'vitest';
import { suggestion } from '../../src/cli/options/suggestion.js';

const COMMANDS = ['convert', 'info', 'check', 'compare', 'map', 'measure', 'completion'];
const OPTIONS = ['--output', '--format', '--force-share', '--cache', '--compress', '--compressed-cache-size'];

describe('an unknown word suggests', () => {
  test.each([
    ['a word with a missing letter', 'ifo', COMMANDS, 'info'],
    ['a word with an extra letter', 'checkk', COMMANDS, 'check'],
    ['a word with a wrong letter', 'inso', COMMANDS, 'info'],
    ['a word with two letters swapped', 'ocnvert', COMMANDS, 'convert'],
    ['a word with three missing letters', 'cmpltin', COMMANDS, 'completion'],
    ['a word with three extra letters', 'cohnverrtx', COMMANDS, 'convert'],
    ['a word with three wrong letters', 'mxaxuxe', COMMANDS, 'measure'],
    ['a word with three pairs of letters swapped', 'ocvnetr', COMMANDS, 'convert'],
    ['a word in capitals', 'INFO', COMMANDS, 'info'],
    ['a word with several mistakes', 'compair', COMMANDS, 'compare'],
    ['the word that it abbreviates', '--forc', OPTIONS, '--force-share'],
    ['the word that it abbreviates, however long', 'compl', COMMANDS, 'completion'],
    ['an option', '--ouptut', OPTIONS, '--output'],
  ])('%s', (_what, word, known, meant) => {
    expect(suggestion(word, known)).toBe(` (Did you mean ${meant}?)`);
  });

  test.each([
    ['two equally similar words', '--fo', ['--foo', '--fob'], '--foo, --fob'],
    ['all words that it abbreviates', '--comp', OPTIONS, '--compress, --compressed-cache-size'],
    ['each word only once', 'abx', ['abc', 'abd', 'abc'], 'abc, abd'],
  ])('one of %s', (_what, word, known, meant) => {
    expect(suggestion(word, known)).toBe(` (Did you mean one of ${meant}?)`);
  });

  test.each([
    ['like none', 'look', COMMANDS],
    ['too short for what would have to change', 'x', COMMANDS],
    ['four letters away', 'mxaxuxx', COMMANDS],
    ['too different', '--abcdef', OPTIONS],
    ['only two dashes and something else', '--xyz', ['--abc']],
    ['empty', '', COMMANDS],
    ['of none', 'info', []],
  ])('no word if it is %s', (_what, word, known) => {
    expect(suggestion(word, known)).toBe('');
  });
});
