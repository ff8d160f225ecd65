/**
 * Turns the words after `qcow2c` into a request, by the tables of the commands. Pure: prints nothing and opens nothing;
 * throws for words it does not understand.
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
/** Every Commander program has this option; every table has a row for it. */
const HELP_NAME = 'help';
/** Of lines of progress, in seconds. */
const SHORTEST_INTERVAL = 0.1;
const LONGEST_INTERVAL = 86_400;
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
 * Lets Commander parse the words and gives the outcome to the command.
 * @returns the option common to all commands that was given, if any
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

/** Adds an option under all its names; the value is stored under the last name. */
function addOption(command: Command, row: OptionRow): void {
  const { flags, argument, repeatable } = row;
  const names = [...flags];
  const main = names.pop() as string;
  if (main === `--${HELP_NAME}` || VERSION_FLAGS.endsWith(main)) return;
  const letter = names.findIndex((flag) => !flag.startsWith('--'));
  const together = letter < 0 ? [main] : [...names.splice(letter, 1), main];
  // Commander would end the names at a comma.
  const value =
    argument === undefined ? '' : ` <${/^[A-Z]+$/.test(argument) ? argument.toLowerCase() : 'list'}>`;
  const option = withChoices(new Option(together.join(', ') + value), row);
  if (repeatable) option.argParser((one: string, all: string[] = []) => [...all, one]);
  command.addOption(option);
  for (const alias of names) {
    command.addOption(withChoices(new Option(alias + value), row));
    command.on(`option:${new Option(alias).name()}`, (one: string | null) => {
      command.setOptionValue(option.attributeName(), one ?? true);
    });
  }
}

function withChoices(option: Option, { choices, withSeconds = [] }: OptionRow): Option {
  if (choices === undefined) return option;
  return option.argParser((value: string) => {
    if (choices.includes(value)) return value;
    const [name = '', seconds] = value.split(/,(.*)/s);
    if (withSeconds.includes(name)) return `${name},${readSeconds(seconds ?? '')}`;
    throw new InvalidArgumentError(`Allowed choices are ${choices.join(', ')}${suggestion(value, choices)}`);
  });
}

/** @returns a number of seconds */
function readSeconds(text: string): string {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (seconds >= SHORTEST_INTERVAL && seconds <= LONGEST_INTERVAL) return String(seconds);
  throw new InvalidArgumentError(
    `The interval must be ${SHORTEST_INTERVAL} to ${LONGEST_INTERVAL} seconds, not '${text}'`,
  );
}

/**
 * An optional argument must follow "=": the bare option must not take the next word, a file name, as its argument. The
 * bare option is replaced by the option with its implied argument.
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
