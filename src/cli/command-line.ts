/**
 * Turns the words after `qcow2c` into a request, by the tables of the commands. Pure: prints nothing and opens nothing;
 * throws for words it does not understand.
 */
import { usageError } from '../errors.js';
import { COMMANDS, type CommandRequest, refuseForeignCommand } from './commands.js';
import { commandHelp, programHelp } from './help/help-text.js';
import { type CommandTable, optionsOf } from './options/option-table.js';
import { readOptionWords, WordsError } from './options/option-words.js';
import { explainParseError, unknownCommand } from './usage-error.js';

export type Request =
  | Exclude<CommandRequest, { readonly kind: 'help' }>
  /** Print this text. */
  | { readonly kind: 'text'; readonly text: string }
  /** Print the versions of the program and its engines. */
  | { readonly kind: 'versions' };

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
  return request.kind === 'help' ? parseCommandLine([...request.about, '--help']) : request;
}

function parseProgramOptions(words: readonly string[]): Request {
  try {
    const { asked, operands } = readOptionWords(words, []);
    if (asked === 'version') return { kind: 'versions' };
    if (asked === undefined && operands.length > 0) throw new WordsError(`unknown command '${operands[0]}'`);
    return { kind: 'text', text: programHelp(TABLES) };
  } catch (error) {
    throw explainParseError(error, words);
  }
}

function parseOptions<Made>(
  words: readonly string[],
  table: CommandTable,
  read: (operands: readonly string[], values: object) => Made,
): Made | Request {
  try {
    const { asked, operands, values } = readOptionWords(withArguments(words, table), optionsOf(table));
    if (asked === 'version') return { kind: 'versions' };
    if (asked === 'help') return { kind: 'text', text: commandHelp(table) };
    return read(operands, values);
  } catch (error) {
    throw explainParseError(error, words, table);
  }
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
