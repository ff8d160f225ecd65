/**
 * The commands and options, and nothing but their syntax: the words after `qcow2c` in, what is asked for
 * out. Pure: prints nothing, opens nothing, throws for what it does not understand. Used by main.ts.
 */
import { Command, CommanderError, Option } from 'commander';
import { usageError } from '../errors.js';
import { type ConvertRequest, readConvertWords } from './convert/request.js';
import type { ConvertWords } from './convert/words.js';
import { CONVERT_HELP, PROGRAM_HELP } from './help-text.js';

export type Request =
  | ConvertRequest
  /** Print this and be done. */
  | { readonly kind: 'text'; readonly text: string }
  /** Print what is installed. */
  | { readonly kind: 'versions' };

const VERSION_FLAGS = '-V, --version';

/**
 * @param words the words after the program's name
 * @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED, before anything has been touched
 */
export function parseCommandLine(words: readonly string[]): Request {
  if (words.length === 0) throw usageError("Not enough arguments; try 'qcow2c --help'");
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
    .configureHelp({ formatHelp: () => PROGRAM_HELP });
  addConvert(program, (found) => {
    request = found;
  });
  try {
    program.parse(withProgressStyle(words), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.version') return { kind: 'versions' };
    if (error.exitCode !== 0) throw usageError(complaint(error, program), { cause: error });
  }
  return request;
}

function addConvert(program: Command, found: (request: Request) => void): void {
  const convert = program.command('convert');
  // The letter that -b had before QEMU 10.1; of the two the later one counts.
  const oldBacking = new Option('-B <file>').argParser((file) => convert.setOptionValue('backing', file));
  convert
    .argument('[files...]')
    .configureHelp({ formatHelp: () => CONVERT_HELP })
    .version('', VERSION_FLAGS)
    .option('-f, --source-format <format>')
    .option('--image-opts')
    .option('--source-image-opts')
    .option('-T, --source-cache <mode>')
    .option('-l, --snapshot <snapshot>')
    .option('--bitmaps')
    .option('--skip-broken-bitmaps')
    .option('--salvage')
    .option('--isolated')
    .option('-U, --force-share')
    .option('-O, --target-format <format>')
    .option('--target-image-opts')
    .option('-o, --target-format-options <list>', '', (list, lists: string[]) => [...lists, list], [])
    .option('-t, --target-cache <mode>')
    .option('-b, --backing <file>')
    .addOption(oldBacking)
    .option('-F, --backing-format <format>')
    .option('-S, --sparse-size <size>')
    .option('-n, --no-create')
    .option('--target-is-zero')
    .option('-r, --rate-limit <rate>')
    .option('-c, --compress')
    .option('--recompress')
    .addOption(new Option('--engine <name>').choices(['auto', 'libdeflate', 'libzstd', 'node']))
    .option('-m, --parallel <threads>')
    .option('-W, --oob-writes')
    .option('-C, --copy-range-offloading')
    .option('--compressed-cache-size <size>')
    .option('--object <definition>')
    .option('-p')
    .addOption(new Option('--progress <style>').choices(['auto', 'bar', 'qemu', 'json', 'none']))
    .option('-q, --quiet')
    .option('-v, --verbose')
    .option('--debug')
    .action((files: string[], options: ConvertWords) => found(readConvertWords(files, options)));
}

/**
 * The value of --progress is optional and only ever follows "=": a bare --progress must not take the file
 * name after it.
 */
function withProgressStyle(words: readonly string[]): string[] {
  const end = words.indexOf('--');
  return words.map((word, at) => (word === '--progress' && (end < 0 || at < end) ? '--progress=auto' : word));
}

/** Commander's words as one sentence, with where to read on unless they hold a suggestion already. */
function complaint(error: CommanderError, program: Command): string {
  const words = error.message
    .replace(/^error: /, '')
    .replace(/\.$/, '')
    .replaceAll('\n', ' ');
  if (words.includes('Did you mean')) return words;
  const command = program.args[0] === 'convert' ? 'qcow2c convert' : 'qcow2c';
  return `${words}; try '${command} --help'`;
}
