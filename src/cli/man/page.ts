/** The manual page qcow2c(1), generated from the tables of the commands. docs/qcow2c.1 is its output. */
import { flagsText } from '../help/help-text.js';
import { formatOptionKeys } from '../options/format-option-keys.js';
import {
  type CommandTable,
  EVERYWHERE,
  type Note,
  type OptionRow,
  optionsOf,
} from '../options/option-table.js';
import { VERSION } from '../versions.js';
import { bold, entry, italic, lines, roffText, verbatim } from './roff.js';

const DESCRIPTION = [
  "Creates compressed qcow2 disk images like 'qemu-img convert -c': in parallel, with identical output on every " +
    'run, and atomically. Inspects images with the options, output and exit codes of qemu-img.',
  'Options may appear before, between and after file names. The argument of a short option may follow it directly ' +
    '(-Oqcow2); that of a long option follows a blank or "=". If an option is repeated, the last one counts, but ' +
    'lists of -o are combined. After "--" every word is a name.',
];

/** @param tables in the order of the commands */
export function manualPage(tables: readonly CommandTable[]): string {
  return `\
.\\" Made by 'qcow2c man' from the tables of the commands.
.TH QCOW2C 1 "" "qcow2c ${roffText(VERSION)}" "User Commands"
.ad l
.nr HY 0
.nh
.SH NAME
qcow2c \\- compress disk images to qcow2, and inspect them
.SH SYNOPSIS
${tables.map(synopsisOf).join('.br\n')}.br
${bold('qcow2c --version')} | ${bold('--help')}
.SH DESCRIPTION
${DESCRIPTION.map((text) => `.PP\n${lines(roffText(text))}`).join('')}\
.SH COMMANDS
${tables.map(commandSection).join('')}\
.SH OPTIONS OF EVERY COMMAND
${EVERYWHERE.map((row) => option(row, prose)).join('')}\
.SH OPTIONS OF IMAGES
.PP
${lines(roffText("The keys of -o. Write a comma in a value as ',,'."))}\
${(['qcow2', 'raw'] as const).map(formatSection).join('')}\
.SH EXIT STATUS
${exitStatus(tables)}\
.SH ENVIRONMENT
${entry(bold('QCOW2C_DEBUG'), lines(`${roffText('If set to 1, the same as')} ${bold('--debug')}.`))}\
.SH FILES
${entry(
  `${roffText('.')}${italic('DST')}${roffText('.qcow2c.tmp')}`,
  lines(
    roffText(
      'The temporary file of convert. A killed run leaves it behind; the next run to the same target removes it.',
    ),
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

/** Literal words in bold, placeholders in italics. */
function synopsisLine(line: string, name: string): string {
  return line
    .split(' ')
    .map((word) => {
      if (word === 'qcow2c' || word === name || word.startsWith('-')) return bold(word);
      return word.replace(/[A-Z0-9]+|[^A-Z0-9]+/g, (part) =>
        /[A-Z]/.test(part) ? italic(part) : roffText(part),
      );
    })
    .join(' ');
}

type Prose = (text: string) => string;

const prose: Prose = roffText;

/** Names of options in bold, placeholders in italics, as in the synopsis. */
function proseOf(table: CommandTable): Prose {
  const flags = optionsOf(table).flatMap((row) => row.flags);
  const names = [...table.synopsis, ...optionsOf(table).map(({ argument = '' }) => argument)].flatMap(
    (text) => text.match(/\b[A-Z]{2,}[0-9]?\b/g) ?? [],
  );
  return (text) =>
    text
      .split(/((?<![\w-])--?\w[\w-]*|\b[A-Z]{2,}[0-9]?\b)/)
      .map((part) =>
        flags.includes(part) ? bold(part) : names.includes(part) ? italic(part) : roffText(part),
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
.SS ${roffText(name)}
${synopsisOf(table)}\
${description.map((words) => `.PP\n${lines(text(words))}`).join('')}\
${options.join('')}\
${notes.map((one) => note(one, text)).join('')}`;
}

function option(row: OptionRow, text: Prose): string {
  const names = row.flags.map(bold).join(', ');
  const argument = flagsText(row).slice(row.flags.join(', ').length);
  const shown = argument.replace(/[A-Z]+|[^A-Z]+/g, (part) =>
    /[A-Z]/.test(part) ? italic(part) : roffText(part),
  );
  return entry(names + shown, lines(text(row.help)));
}

function note({ title, paragraphs = [], verbatim: shown = [] }: Note, text: Prose): string {
  const head = title === undefined ? '' : `.PP\n${lines(`${roffText(title)}:`)}`;
  const body = paragraphs.map((words) => `.PP\n${lines(text(words))}`).join('');
  return head + body + (shown.length === 0 ? '' : verbatim(shown));
}

function exampleSection({ name, examples }: CommandTable): string {
  const shown = examples.map(({ what, line }) => `.PP\n${lines(`${roffText(what)}:`)}${verbatim([line])}`);
  return `.SS ${roffText(name)}\n${shown.join('')}`;
}

function formatSection(format: 'qcow2' | 'raw'): string {
  const keys = formatOptionKeys(format).map(({ key, type, help }) =>
    entry(`${bold(`${key}=`)}${roffText(type)}`, lines(roffText(help))),
  );
  return `.SS ${format}\n${keys.join('')}`;
}

/** Commands with the same exit codes share a section. */
function exitStatus(tables: readonly CommandTable[]): string {
  const meanings = new Map<string, string[]>();
  for (const { name, exitCodes } of tables) {
    const entries = exitCodes
      .map(([code, meaning]) => entry(roffText(code), lines(roffText(meaning))))
      .join('');
    meanings.set(entries, [...(meanings.get(entries) ?? []), name]);
  }
  return [...meanings]
    .map(([entries, names]) => `.SS ${names.map(roffText).join(', ')}\n${entries}`)
    .join('');
}
