/** The manual page qcow2c(1), made from the tables of the commands. docs/qcow2c.1 is what this makes. */
import { formatOptionKeys } from '../format-options.js';
import { flagsText } from '../help-text.js';
import { type CommandTable, EVERYWHERE, type Note, type OptionRow, optionsOf } from '../option-table.js';
import { VERSION } from '../versions.js';
import { bold, entry, escaped, italic, lines, verbatim } from './roff.js';

const DESCRIPTION = [
  "Makes compressed qcow2 disk images, as 'qemu-img convert -c' does: in parallel, the same bytes on every run, " +
    'and the result appears whole or not at all. Looks into images as qemu-img does, with the same options, output ' +
    'and exit codes.',
  'Options may stand before, between and behind the names of files. The argument of a letter may be glued to it ' +
    '(-Oqcow2), that of a long name follows a blank or "=". Of an option that is given twice the last one counts, ' +
    'but lists of -o add up. Behind "--" there are only names.',
];

/** @param tables in the order in which the commands are listed */
export function manualPage(tables: readonly CommandTable[]): string {
  return `\
.\\" Made by 'qcow2c man' from the tables of the commands.
.TH QCOW2C 1 "" "qcow2c ${escaped(VERSION)}" "User Commands"
.ad l
.nr HY 0
.nh
.SH NAME
qcow2c \\- compress disk images to qcow2, and look into them
.SH SYNOPSIS
${tables.map(synopsisOf).join('.br\n')}.br
${bold('qcow2c --version')} | ${bold('--help')}
.SH DESCRIPTION
${DESCRIPTION.map((text) => `.PP\n${lines(escaped(text))}`).join('')}\
.SH COMMANDS
${tables.map(commandSection).join('')}\
.SH OPTIONS OF EVERY COMMAND
${EVERYWHERE.map((row) => option(row, prose)).join('')}\
.SH OPTIONS OF IMAGES
.PP
${lines(escaped("The keys of -o. ',,' in a value is a comma."))}\
${(['qcow2', 'raw'] as const).map(formatSection).join('')}\
.SH EXIT STATUS
${exitStatus(tables)}\
.SH ENVIRONMENT
${entry(bold('QCOW2C_DEBUG'), lines(`${escaped('1 does what')} ${bold('--debug')} ${escaped('does.')}`))}\
.SH FILES
${entry(
  `${escaped('.')}${italic('DST')}${escaped('.qcow2c.tmp')}`,
  lines(
    `${escaped('What convert writes before it is')} ${italic('DST')}${escaped('. After a kill it is left behind, and the next run to the same target removes it.')}`,
  ),
)}\
.SH EXAMPLES
${tables.map(exampleSection).join('')}\
.SH SEE ALSO
.BR qemu\\-img (1),
.BR qemu\\-nbd (8)
`;
}

function synopsisOf({ synopsis, name }: CommandTable): string {
  return synopsis.map((line) => lines(synopsisLine(line, name))).join('.br\n');
}

/** The words of the command in bold type, what stands for others in italics. */
function synopsisLine(line: string, name: string): string {
  return line
    .split(' ')
    .map((word) => {
      if (word === 'qcow2c' || word === name || word.startsWith('-')) return bold(word);
      return word.replace(/[A-Z0-9]+|[^A-Z0-9]+/g, (part) =>
        /[A-Z]/.test(part) ? italic(part) : escaped(part),
      );
    })
    .join(' ');
}

type Prose = (text: string) => string;

const prose: Prose = escaped;

/** Names of options in bold type, and what stands for something else in italics, as in the synopsis. */
function proseOf(table: CommandTable): Prose {
  const flags = optionsOf(table).flatMap((row) => row.flags);
  const names = [...table.synopsis, ...optionsOf(table).map(({ argument = '' }) => argument)].flatMap(
    (text) => text.match(/\b[A-Z]{2,}[0-9]?\b/g) ?? [],
  );
  return (text) =>
    text
      .split(/((?<![\w-])--?\w[\w-]*|\b[A-Z]{2,}[0-9]?\b)/)
      .map((part) =>
        flags.includes(part) ? bold(part) : names.includes(part) ? italic(part) : escaped(part),
      )
      .join('');
}

function commandSection(table: CommandTable): string {
  const { name, description, groups, notes } = table;
  const text = proseOf(table);
  const own = groups
    .map(({ title, options }) => ({ title, options: options.filter((row) => !EVERYWHERE.includes(row)) }))
    .filter(({ options }) => options.length > 0);
  const options = own.map(
    (group) =>
      `${own.length === 1 ? '' : `.PP\n${bold(group.title)}\n`}${group.options.map((row) => option(row, text)).join('')}`,
  );
  return `\
.SS ${escaped(name)}
${synopsisOf(table)}\
${description.map((words) => `.PP\n${lines(text(words))}`).join('')}\
${options.join('')}\
${notes.map((one) => note(one, text)).join('')}`;
}

function option(row: OptionRow, text: Prose): string {
  const names = row.flags.map(bold).join(', ');
  const argument = flagsText(row).slice(row.flags.join(', ').length);
  const shown = argument.replace(/[A-Z]+|[^A-Z]+/g, (part) =>
    /[A-Z]/.test(part) ? italic(part) : escaped(part),
  );
  return entry(names + shown, lines(text(row.help)));
}

function note({ title, paragraphs = [], verbatim: shown = [] }: Note, text: Prose): string {
  const head = title === undefined ? '' : `.PP\n${lines(`${escaped(title)}:`)}`;
  const body = paragraphs.map((words) => `.PP\n${lines(text(words))}`).join('');
  return head + body + (shown.length === 0 ? '' : verbatim(shown));
}

function exampleSection({ name, examples }: CommandTable): string {
  const shown = examples.map(({ what, line }) => `.PP\n${lines(`${escaped(what)}:`)}${verbatim([line])}`);
  return `.SS ${escaped(name)}\n${shown.join('')}`;
}

function formatSection(format: 'qcow2' | 'raw'): string {
  const keys = formatOptionKeys(format).map(({ key, type, help }) =>
    entry(`${bold(`${key}=`)}${escaped(type)}`, lines(escaped(help))),
  );
  return `.SS ${format}\n${keys.join('')}`;
}

/** Commands whose exit codes mean the same are told of together. */
function exitStatus(tables: readonly CommandTable[]): string {
  const meanings = new Map<string, string[]>();
  for (const { name, exitCodes } of tables) {
    const entries = exitCodes
      .map(([code, meaning]) => entry(escaped(code), lines(escaped(meaning))))
      .join('');
    meanings.set(entries, [...(meanings.get(entries) ?? []), name]);
  }
  return [...meanings].map(([entries, names]) => `.SS ${names.map(escaped).join(', ')}\n${entries}`).join('');
}
