/**
 * The commands and their syntax: the words after `qcow2c` in, what is asked for out. Pure: prints nothing, opens
 * nothing, throws for what it does not understand. Used by run.ts.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { usageError } from '../errors.js';
import { COMMANDS, type CommandRequest, refuseForeignCommand } from './commands.js';
import { commandHelp, programHelp } from './help/help-text.js';
import { type CommandTable, type OptionRow, optionsOf } from './options/option-table.js';
import { suggestion } from './options/suggestion.js';
import { explainParseError, unknownCommand } from './usage-error.js';

export type Request =
  | Exclude<CommandRequest, { readonly kind: 'help' }>
  /** Print this text. */
  | { readonly kind: 'text'; readonly text: string }
  /** Print the versions of the program and its engines. */
  | { readonly kind: 'versions' };

const VERSION_FLAGS = '-V, --version';
/** Every Commander program has this option, and every table the row for it. */
const HELP_NAME = 'help';
const TABLES = COMMANDS.map(({ table }) => table);

/**
 * @param words the words after the program's name
 * @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED, before anything has been touched
 */
export function parseCommandLine(words: readonly string[]): Request {
  const [name, ...rest] = words;
  if (name === undefined) throw usageError("Not enough arguments; try 'qcow2c --help'");
  refuseForeignCommand(name);
  const known = COMMANDS.find(({ table }) => table.name === name);
  if (known === undefined && !name.startsWith('-')) throw unknownCommand(name, TABLES);
  const request =
    known === undefined ? parseProgramOptions(words) : parseOptions(rest, known.table, known.read);
  return request.kind === 'help' ? parseCommandLine([...request.about, `--${HELP_NAME}`]) : request;
}

function parseProgramOptions(words: readonly string[]): Request {
  const request: Request = { kind: 'text', text: programHelp(TABLES) };
  try {
    return run(new Command(), words) === 'version' ? { kind: 'versions' } : request;
  } catch (error) {
    throw explainParseError(error, words);
  }
}

function parseOptions<Made>(
  words: readonly string[],
  table: CommandTable,
  read: (operands: readonly string[], values: object) => Made,
): Made | Request {
  const command = new Command().argument('[operands...]');
  for (const row of optionsOf(table)) addOption(command, row);
  try {
    const asked = run(command, withArguments(words, table));
    if (asked === 'version') return { kind: 'versions' };
    if (asked === 'help') return { kind: 'text', text: commandHelp(table) };
    return read(command.args, command.opts());
  } catch (error) {
    throw explainParseError(error, words, table);
  }
}

/**
 * Lets Commander take the words apart, for the command to have the outcome.
 * @returns which of the options that every command has was among them
 * @throws CommanderError
 */
function run(command: Command, words: readonly string[]): 'version' | 'help' | undefined {
  command
    .exitOverride()
    .configureOutput({ writeOut: () => {}, writeErr: () => {}, outputError: () => {} })
    .configureHelp({ formatHelp: () => '' })
    .showSuggestionAfterError(false)
    .version('', VERSION_FLAGS);
  try {
    command.parse([...words], { from: 'user' });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommanderError) || error.exitCode !== 0) throw error;
    return error.code === 'commander.version' ? 'version' : 'help';
  }
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
  if (choices === undefined) return option;
  return option.argParser((value: string) => {
    if (choices.includes(value)) return value;
    throw new InvalidArgumentError(`Allowed choices are ${choices.join(', ')}${suggestion(value, choices)}`);
  });
}

/**
 * An argument that may be left out only ever follows "=": the bare option must not take the file name after it.
 * The bare option is replaced by the option with its implied argument.
 */
function withArguments(words: readonly string[], table: CommandTable): string[] {
  const bare = new Map(
    optionsOf(table).flatMap(({ flags, bare: meaning }) =>
      meaning === undefined ? [] : flags.map((flag) => [flag, `${flag}=${meaning}`] as const),
    ),
  );
  const end = words.indexOf('--');
  return words.map((word, at) => (end < 0 || at < end ? (bare.get(word) ?? word) : word));
}
