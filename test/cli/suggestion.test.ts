import { describe, expect, test } from 'vitest';
import { suggestion } from '../../src/cli/options/suggestion.js';

const COMMANDS = ['convert', 'info', 'check', 'compare', 'map', 'measure', 'completion'];
const OPTIONS = ['--output', '--format', '--force-share', '--cache', '--compress', '--compressed-cache-size'];

describe('a word that is none is taken for', () => {
  test.each([
    ['one with a letter too few', 'ifo', COMMANDS, 'info'],
    ['one with a letter too many', 'checkk', COMMANDS, 'check'],
    ['one with another letter', 'inso', COMMANDS, 'info'],
    ['one with two letters exchanged', 'ocnvert', COMMANDS, 'convert'],
    ['one with three letters too few', 'cmpltin', COMMANDS, 'completion'],
    ['one with three letters too many', 'cohnverrtx', COMMANDS, 'convert'],
    ['one with three other letters', 'mxaxuxe', COMMANDS, 'measure'],
    ['one with three pairs of letters exchanged', 'ocvnetr', COMMANDS, 'convert'],
    ['one in capitals', 'INFO', COMMANDS, 'info'],
    ['one in which more than one thing is wrong', 'compair', COMMANDS, 'compare'],
    ['what it is the begin of', '--forc', OPTIONS, '--force-share'],
    ['what it is the begin of, however long', 'compl', COMMANDS, 'completion'],
    ['an option', '--ouptut', OPTIONS, '--output'],
  ])('%s', (_what, word, known, meant) => {
    expect(suggestion(word, known)).toBe(` (Did you mean ${meant}?)`);
  });

  test.each([
    ['two that are as near', '--fo', ['--foo', '--fob'], '--foo, --fob'],
    ['all that it is the begin of', '--comp', OPTIONS, '--compress, --compressed-cache-size'],
    ['each no more than once', 'abx', ['abc', 'abd', 'abc'], 'abc, abd'],
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
  ])('none when it is %s', (_what, word, known) => {
    expect(suggestion(word, known)).toBe('');
  });
});
