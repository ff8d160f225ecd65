/**
 * The errors of a command line that cannot be parsed: one sentence with a suggested word, or with the command that
 * shows the help.
 */
import { CommanderError } from 'commander';
import { Qcow2cError, usageError } from '../errors.js';
import { type CommandTable, EVERYWHERE, optionsOf } from './options/option-table.js';
import { suggestion } from './options/suggestion.js';

export function unknownCommand(name: string, tables: readonly CommandTable[]): Qcow2cError {
  const meant = suggestion(
    name,
    tables.map((table) => table.name),
  );
  return usageError(`unknown command '${name}'${meant === '' ? "; try 'qcow2c --help'" : meant}`);
}

/**
 * @param error the error of the parser or of the reader of a command's options
 * @param words their input
 * @param table the command's table; undefined: no command was given
 * @returns the error to throw instead
 */
export function explainParseError(error: unknown, words: readonly string[], table?: CommandTable): unknown {
  const longNames = (table === undefined ? EVERYWHERE : optionsOf(table))
    .flatMap(({ flags }) => flags)
    .filter((flag) => flag.startsWith('--'));
  if (error instanceof CommanderError) {
    const sentence = error.message
      .replace(/^error: /, '')
      .replace(/\.$/, '')
      .replaceAll('\n', ' ');
    const [, unknown] = /^unknown option '(--[^=']*)/.exec(sentence) ?? [];
    const meant = unknown === undefined ? oneDash(words, longNames) : suggestion(unknown, longNames);
    if (meant !== '' || sentence.includes('Did you mean'))
      return usageError(sentence + meant, { cause: error });
    const command = table === undefined ? 'qcow2c' : `qcow2c ${table.name}`;
    return usageError(`${sentence}; try '${command} --help'`, { cause: error });
  }
  if (error instanceof Qcow2cError && error.code === 'ERR_USAGE') {
    const meant = oneDash(words, longNames);
    if (meant !== '') return usageError(error.message + meant, { cause: error });
  }
  return error;
}

/** "-output" is parsed as -o with the list "utput", or as letters including an unknown one. */
function oneDash(words: readonly string[], longNames: readonly string[]): string {
  const end = words.indexOf('--');
  const meant = words
    .slice(0, end < 0 ? undefined : end)
    .map((word) => `-${word.replace(/=.*$/s, '')}`)
    .find((name) => longNames.includes(name));
  return meant === undefined ? '' : ` (Did you mean ${meant}?)`;
}
