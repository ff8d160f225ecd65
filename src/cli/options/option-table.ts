/**
 * Describes a command once. Its parser, its help, the manual page and the shell completions are made from this table.
 * Each command has such a table beside its code.
 */

/** One option. */
export interface OptionRow {
  /** Letters and long names, at least one, all equivalent. The parser stores the option under the last. */
  readonly flags: readonly [string, ...string[]];
  /** The argument's name in the help; undefined: no argument. */
  readonly argument?: string;
  /** The default of an optional argument; a given argument follows "=". */
  readonly bare?: string;
  /** The only valid arguments. */
  readonly choices?: readonly string[];
  /** The choices that ",SECONDS" may follow. */
  readonly withSeconds?: readonly string[];
  /**
   * Completions for the argument besides `choices`: file names, words, or a list of KEY=VALUE with the completions for
   * each VALUE.
   */
  readonly completes?: 'file' | readonly string[] | Readonly<Record<string, readonly string[]>>;
  /** If the option is repeated, all its arguments count. */
  readonly repeatable?: true;
  /** One paragraph, of any length. Shells show the part before its first colon, semicolon or bracket. */
  readonly help: string;
}

export interface OptionGroup {
  readonly title: string;
  readonly options: readonly OptionRow[];
}

/** A section of a help text besides the options. */
export interface Note {
  readonly title?: string;
  readonly paragraphs?: readonly string[];
  /** Lines shown verbatim, at most 72 characters each. */
  readonly verbatim?: readonly string[];
}

export interface CommandTable {
  readonly name: string;
  /** A few words, without a capital or a full stop. */
  readonly summary: string;
  /** Whole command lines with names in capitals. */
  readonly synopsis: readonly string[];
  /** The operands: names of files, the name of a command, one of these words, or none. */
  readonly operands: 'files' | 'command' | readonly string[];
  /** Paragraphs of any length. */
  readonly description: readonly string[];
  readonly groups: readonly OptionGroup[];
  readonly notes: readonly Note[];
  /** Each is a valid command line, its words separated by single blanks. */
  readonly examples: readonly { readonly what: string; readonly line: string }[];
  readonly exitCodes: readonly ExitCode[];
}

type ExitCode = readonly [codes: string, meaning: string];

/** Options of every command, at the end of its last group. */
export const EVERYWHERE: readonly OptionRow[] = [
  { flags: ['--debug'], help: 'print the stack trace and the causes of an error (or QCOW2C_DEBUG=1)' },
  { flags: ['-V', '--version'], help: 'print the version and the compression engines found' },
  { flags: ['-h', '--help'], help: 'print this help' },
];

/** The exit codes of a command that a signal stops in an orderly way. */
export const STOPPED: ExitCode = ['129, 130, 143', 'stopped by SIGHUP, SIGINT or SIGTERM'];

export const SIZES: Note = {
  paragraphs: ['SIZE is in bytes; the suffixes k, M, G, T, P and E are powers of 1024.'],
};

/** All options of a command, in the order of its help. */
export function optionsOf({ groups }: CommandTable): readonly OptionRow[] {
  return groups.flatMap(({ options }) => options);
}
