/**
 * The one description of a command, from which its parser, its help, the man page and the shells' completions are
 * made. Each command has such a table beside its code.
 */

/** One option. */
export interface OptionRow {
  /** Letters and long names, at least one; all mean the same. The parser knows the option by the last. */
  readonly flags: readonly [string, ...string[]];
  /** The argument's name in the help; undefined: the option has none. */
  readonly argument?: string;
  /** The argument may be left out, which means this; when it is there, it follows "=". */
  readonly bare?: string;
  /** The only arguments there are. */
  readonly choices?: readonly string[];
  /**
   * What a shell offers for the argument besides `choices`, which it offers anyway: names of files, words, or a
   * list of KEY=VALUE with what can stand for each VALUE.
   */
  readonly completes?: 'file' | readonly string[] | Readonly<Record<string, readonly string[]>>;
  /** Given more than once, all its arguments count. */
  readonly repeatable?: true;
  /** One paragraph, of any length. Shells show what stands before its first colon, semicolon or bracket. */
  readonly help: string;
}

export interface OptionGroup {
  readonly title: string;
  readonly options: readonly OptionRow[];
}

/** What a help text has to say besides the options. */
export interface Note {
  readonly title?: string;
  readonly paragraphs?: readonly string[];
  /** Lines that are shown as they are, at most 72 characters each. */
  readonly verbatim?: readonly string[];
}

export interface CommandTable {
  readonly name: string;
  /** A few words, without a capital or a full stop. */
  readonly summary: string;
  /** Whole command lines with names in capitals. */
  readonly synopsis: readonly string[];
  /** What stands where no option is: names of files, the name of a command, one of these words, or nothing. */
  readonly operands: 'files' | 'command' | readonly string[];
  /** Paragraphs of any length. */
  readonly description: readonly string[];
  readonly groups: readonly OptionGroup[];
  readonly notes: readonly Note[];
  /** Each a command line of words with one blank between them, which must be one that works. */
  readonly examples: readonly { readonly what: string; readonly line: string }[];
  readonly exitCodes: readonly (readonly [codes: string, meaning: string])[];
}

/** Options that every command has, at the end of its last group. */
export const EVERYWHERE: readonly OptionRow[] = [
  { flags: ['--debug'], help: 'print the stack trace and the causes of an error (or QCOW2C_DEBUG=1)' },
  { flags: ['-V', '--version'], help: 'print the version and the compression engines found' },
  { flags: ['-h', '--help'], help: 'print this help' },
];

export const SIZES: Note = {
  paragraphs: ['SIZE is in bytes; the suffixes k, M, G, T, P and E are powers of 1024.'],
};

/** All options of a command in the order of its help. */
export function optionsOf({ groups }: CommandTable): readonly OptionRow[] {
  return groups.flatMap(({ options }) => options);
}
