/**
 * The commands and their syntax: the words after `qcow2c` in, what is asked for out. Pure: prints nothing, opens
 * nothing, throws for what it does not understand. Used by main.ts.
 */
import { Command, CommanderError, Option } from 'commander';
import { usageError } from '../errors.js';
import { COMMANDS, type CommandRequest, refuseForeignCommand } from './commands.js';
import { commandHelp, programHelp } from './help-text.js';
import { type OptionRow, optionsOf } from './option-table.js';

export type Request =
  | CommandRequest
  /** Print this and be done. */
  | { readonly kind: 'text'; readonly text: string }
  /** Print what is installed. */
  | { readonly kind: 'versions' };

const VERSION_FLAGS = '-V, --version';
/** Every Commander program has this option, and every table the row for it. */
const HELP_NAME = 'help';

/**
 * @param words the words after the program's name
 * @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED, before anything has been touched
 */
export function parseCommandLine(words: readonly string[]): Request {
  const [name] = words;
  if (name === undefined) throw usageError("Not enough arguments; try 'qcow2c --help'");
  refuseForeignCommand(name);
  let request: Request = { kind: 'text', text: '' };
  const program = new Command('qcow2c')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        request = { kind: 'text', text };
      },
      writeErr: () => {},
      outputError: () => {},
    })
    .enablePositionalOptions()
    .helpCommand(false)
    .version('', VERSION_FLAGS)
    .configureHelp({ formatHelp: () => programHelp(COMMANDS.map(({ table }) => table)) });
  for (const { table, read } of COMMANDS) {
    const command = program.command(table.name).argument('[operands...]');
    // The others are there to be suggested for a word that is nearly theirs.
    if (table.name !== name) continue;
    command.configureHelp({ formatHelp: () => commandHelp(table) }).version('', VERSION_FLAGS);
    for (const row of optionsOf(table)) addOption(command, row);
    command.action((operands: string[], options: object) => {
      request = read(operands, options);
    });
  }
  try {
    program.parse(withArguments(words), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.version') return { kind: 'versions' };
    if (error.exitCode !== 0) throw usageError(complaint(error, name), { cause: error });
  }
  return request;
}

/** Adds an option under all its names; whichever of them is given, the last name has the value. */
function addOption(command: Command, { flags, argument, choices, repeatable }: OptionRow): void {
  const names = [...flags];
  const main = names.pop() as string;
  if (main === `--${HELP_NAME}` || VERSION_FLAGS.endsWith(main)) return;
  const letter = names.findIndex((flag) => !flag.startsWith('--'));
  const together = letter < 0 ? [main] : [...names.splice(letter, 1), main];
  // Commander would take a comma for the end of the names.
  const value =
    argument === undefined ? '' : ` <${/^[A-Z]+$/.test(argument) ? argument.toLowerCase() : 'list'}>`;
  const option = withChoices(new Option(together.join(', ') + value), choices);
  if (repeatable) option.argParser((one: string, all: string[] = []) => [...all, one]);
  command.addOption(option);
  for (const alias of names) {
    command.addOption(withChoices(new Option(alias + value), choices));
    command.on(`option:${new Option(alias).name()}`, (one: string | null) => {
      command.setOptionValue(option.attributeName(), one ?? true);
    });
  }
}

function withChoices(option: Option, choices: OptionRow['choices']): Option {
  return choices === undefined ? option : option.choices(choices);
}

/**
 * An argument that may be left out only ever follows "=": the bare option must not take the file name after it.
 * So whoever leaves it out gets what that means.
 */
function withArguments(words: readonly string[]): string[] {
  const table = COMMANDS.find((command) => command.table.name === words[0])?.table;
  const bare = new Map(
    (table === undefined ? [] : optionsOf(table)).flatMap(({ flags, bare: meaning }) =>
      meaning === undefined ? [] : flags.map((flag) => [flag, `${flag}=${meaning}`] as const),
    ),
  );
  const end = words.indexOf('--');
  return words.map((word, at) => (end < 0 || at < end ? (bare.get(word) ?? word) : word));
}

/** Commander's words as one sentence, with where to read on unless they hold a suggestion already. */
function complaint(error: CommanderError, name: string): string {
  const words = error.message
    .replace(/^error: /, '')
    .replace(/\.$/, '')
    .replaceAll('\n', ' ');
  if (words.includes('Did you mean')) return words;
  const command = COMMANDS.some(({ table }) => table.name === name) ? `qcow2c ${name}` : 'qcow2c';
  return `${words}; try '${command} --help'`;
}
