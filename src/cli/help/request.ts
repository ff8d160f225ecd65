/** What `help` was asked for. Pure; used by the parser of the command line. */

export interface HelpRequest {
  readonly kind: 'help';
  /** The words before a --help that would print the same. */
  readonly about: readonly string[];
}

export function readHelpWords(operands: readonly string[]): HelpRequest {
  return { kind: 'help', about: operands };
}
