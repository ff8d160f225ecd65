/** The texts of --help, made from the tables of the commands. At most 80 columns wide. */
import type { CommandTable, Note, OptionGroup, OptionRow } from '../options/option-table.js';

const WIDTH = 80;
/** Column of an option's explanation. */
const OPTION_COLUMN = 29;
/** Column of the explanation of a command or an exit code. */
const NAME_COLUMN = 19;

/** @param commands in the order of the list */
export function programHelp(commands: readonly CommandTable[]): string {
  return `\
Usage: qcow2c COMMAND [options] FILE...
       qcow2c COMMAND --help
       qcow2c --version | --help

Creates compressed qcow2 disk images like 'qemu-img convert -c': in parallel,
with identical output on every run, and atomically. Inspects images with the
options, output and exit codes of qemu-img.

Commands:
${commands.map(({ name, summary }) => entry(name, summary, NAME_COLUMN)).join('')}
Options:
${entry('-V, --version', 'print the version and the compression engines found', NAME_COLUMN)}\
${entry('-h, --help', 'print this help', NAME_COLUMN)}
Examples:
  qcow2c convert -c -p disk.raw disk.qcow2
  qcow2c check --data disk.qcow2
`;
}

export function commandHelp(table: CommandTable): string {
  const { synopsis, description, groups, notes, examples, exitCodes } = table;
  const usage = synopsis.map((line, index) => `${index === 0 ? 'Usage: ' : '       '}${line}\n`).join('');
  const sections = [
    usage,
    ...description.map((text) => paragraph(text)),
    ...groups.map(group),
    ...notes.map(note),
    `Examples:\n${examples.map(({ what, line }) => `${paragraph(`${what}:`, '  ')}    ${line}\n`).join('')}`,
    `Exit codes:\n${exitCodes.map(([code, meaning]) => entry(code, meaning, NAME_COLUMN)).join('')}`,
  ];
  return sections.join('\n');
}

function group({ title, options }: OptionGroup): string {
  return `${title}:\n${options.map((row) => entry(flagsText(row), row.help, OPTION_COLUMN)).join('')}`;
}

function note({ title, paragraphs = [], verbatim = [] }: Note): string {
  const head = title === undefined ? '' : `${title}:\n`;
  const indent = title === undefined ? '' : '  ';
  const text = paragraphs.map((words) => paragraph(words, indent)).join('\n');
  return `${head}${text}${verbatim.map((line) => `  ${line}\n`).join('')}`;
}

/** The option's names and its argument, as typed. */
export function flagsText({ flags, argument, bare }: OptionRow): string {
  const names = flags.join(', ');
  if (argument === undefined) return names;
  return bare === undefined ? `${names} ${argument}` : `${names}[=${argument}]`;
}

/** A name, and its explanation in a second column; a name that is too long gets its own line. */
function entry(name: string, words: string, column: number): string {
  const lines = wrapped(words, WIDTH - column).map((line) => `${' '.repeat(column)}${line}\n`);
  const [first = '\n', ...rest] = lines;
  if (name.length + 4 > column) return `  ${name}\n${lines.join('')}`;
  return `  ${name.padEnd(column - 2)}${first.slice(column)}${rest.join('')}`;
}

function paragraph(words: string, indent = ''): string {
  return wrapped(words, WIDTH - indent.length)
    .map((line) => `${indent}${line}\n`)
    .join('');
}

/** Lines of at most `width` characters; a longer word gets its own line. */
export function wrapped(words: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of words.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
