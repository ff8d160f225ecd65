/** The request of `help`. Pure; used by the parser of the command line. */

export interface HelpRequest {
  readonly kind: 'help';
  /** The words before a --help with the same output. */
  readonly about: readonly string[];
}

export function readHelpWords(operands: readonly string[]): HelpRequest {
  return { kind: 'help', about: operands };
}
