/** The request of `completion`. Pure; used by the parser of the command line. */
import { usageError } from '../../errors.js';
import { suggestion } from '../options/suggestion.js';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

export interface CompletionRequest {
  readonly kind: 'completion';
  readonly shell: (typeof SHELLS)[number];
}

/** @throws Qcow2cError ERR_USAGE */
export function readCompletionWords(operands: readonly string[]): CompletionRequest {
  const [name] = operands;
  if (name === undefined || operands.length > 1)
    throw usageError(`Expecting one shell: ${SHELLS.join(', ')}`);
  const shell = SHELLS.find((known) => known === name);
  if (shell !== undefined) return { kind: 'completion', shell };
  const meant = suggestion(name, SHELLS);
  throw usageError(`unknown shell '${name}'${meant === '' ? ` (known: ${SHELLS.join(', ')})` : meant}`);
}
