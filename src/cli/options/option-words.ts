/**
 * Takes the words of a command line apart by the options of a table, as qemu-img's getopt_long does: letters may be
 * joined, an argument may be joined to its letter or follow "=" or be the next word, and operands may stand anywhere.
 */
import type { OptionRow } from './option-table.js';
import { suggestion } from './suggestion.js';

/** Words that cannot be taken apart. The message is the start of a sentence. */
export class WordsError extends Error {
  override readonly name = 'WordsError';
}

export interface OptionWords {
  /** Words that are no options, in their order. */
  readonly operands: readonly string[];
  /**
   * By the last name of each option that was given, in camel case: its last argument, or true without one; a list for
   * one that can be repeated.
   */
  readonly values: Readonly<Record<string, string | true | readonly string[]>>;
  /** Which option that every command has was among them: it counts, whatever else there is after it. */
  readonly asked: 'version' | 'help' | undefined;
}

const VERSION = ['-V', '--version'];
const HELP = ['-h', '--help'];

/** A negative number is an operand. */
const NUMBER = /^-(\d+|\d*\.\d+)(e[+-]?\d+)?$/;

/**
 * @param words without the names of the program and the command
 * @param rows the options that there are; those for the help and the version there are always
 * @throws WordsError for an unknown option, a missing argument, or one that is not among the choices
 */
export function readOptionWords(words: readonly string[], rows: readonly OptionRow[]): OptionWords {
  const byFlag = new Map(rows.flatMap((row) => row.flags.map((flag) => [flag, row] as const)));
  for (const flag of [...VERSION, ...HELP]) byFlag.delete(flag);
  const operands: string[] = [];
  const values: Record<string, string | true | readonly string[]> = {};
  let unknown: string | undefined;
  let isHelp = false;
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') {
      operands.push(...rest);
      break;
    }
    if (!word.startsWith('-') || word === '-') {
      operands.push(word);
      continue;
    }
    const [flag, joined] = split(word, byFlag);
    if (VERSION.includes(flag)) {
      if (joined === undefined || isLetter(flag)) return { operands, values, asked: 'version' };
    } else if (HELP.includes(flag) && joined === undefined) {
      isHelp = true;
      continue;
    }
    const row = byFlag.get(flag);
    if (row === undefined || (row.argument === undefined && joined !== undefined && !isLetter(flag))) {
      if (row === undefined && NUMBER.test(word)) operands.push(word);
      else unknown ??= word;
    } else if (row.argument === undefined) {
      values[nameOf(row)] = true;
      if (joined !== undefined) rest.unshift(`-${joined}`);
    } else {
      const argument = joined ?? rest.shift();
      if (argument === undefined) throw new WordsError(`option '${spelling(row, flag)}' argument missing`);
      refuseOtherChoice(row, flag, argument);
      const before = values[nameOf(row)];
      values[nameOf(row)] = row.repeatable ? [...(Array.isArray(before) ? before : []), argument] : argument;
    }
  }
  if (isHelp) return { operands, values, asked: 'help' };
  if (unknown !== undefined) throw new WordsError(`unknown option '${unknown}'`);
  return { operands, values, asked: undefined };
}

/** @returns the flag that a word begins with, and the rest of the word: the argument, or further letters */
function split(word: string, byFlag: ReadonlyMap<string, OptionRow>): [flag: string, joined?: string] {
  if (byFlag.has(word)) return [word];
  if (isLetter(word)) return word.length === 2 ? [word] : [word.slice(0, 2), word.slice(2)];
  const equals = word.indexOf('=');
  return equals < 0 ? [word] : [word.slice(0, equals), word.slice(equals + 1)];
}

function isLetter(flag: string): boolean {
  return !flag.startsWith('--');
}

/** The last name of an option in camel case. */
function nameOf({ flags }: OptionRow): string {
  return (flags.at(-1) as string)
    .replace(/^--?/, '')
    .replace(/-([a-z])/g, (_, letter) => letter.toUpperCase());
}

/** An option in a message: its first letter and its last name, or the name that was given if it is another. */
function spelling({ flags, argument }: OptionRow, given: string): string {
  const main = flags.at(-1) as string;
  const letter = flags.find((flag) => isLetter(flag));
  const names = letter === undefined || letter === main ? [main] : [letter, main];
  const shown = names.includes(given) ? names.join(', ') : given;
  return `${shown} <${/^[A-Z]+$/.test(argument ?? '') ? argument?.toLowerCase() : 'list'}>`;
}

function refuseOtherChoice(row: OptionRow, flag: string, argument: string): void {
  const { choices } = row;
  if (choices === undefined || choices.includes(argument)) return;
  const allowed = `Allowed choices are ${choices.join(', ')}${suggestion(argument, choices)}`;
  throw new WordsError(`option '${spelling(row, flag)}' argument '${argument}' is invalid. ${allowed}`);
}
