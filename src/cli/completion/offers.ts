/** What a shell offers for the argument of an option, and how it describes one. Used by the writers of scripts. */
import type { OptionRow } from '../options/option-table.js';

export type Offer =
  /** Nothing is known about it. */
  | { readonly kind: 'any' }
  | { readonly kind: 'file' }
  | { readonly kind: 'words'; readonly words: readonly string[] }
  /** KEY=VALUE[,KEY=VALUE...], with what is offered for each VALUE. */
  | { readonly kind: 'pairs'; readonly keys: Readonly<Record<string, readonly string[]>> };

/** @returns undefined for an option that has no argument */
export function offerOf({ argument, choices, completes = choices }: OptionRow): Offer | undefined {
  if (argument === undefined) return undefined;
  if (completes === undefined) return { kind: 'any' };
  if (completes === 'file') return { kind: 'file' };
  return isWords(completes) ? { kind: 'words', words: completes } : { kind: 'pairs', keys: completes };
}

function isWords(completes: NonNullable<OptionRow['completes']>): completes is readonly string[] {
  return Array.isArray(completes);
}

/** The begin of an explanation, short enough to stand beside the option in a list. */
export function brief(help: string): string {
  return help.replace(/[:;(].*$/s, '').trim();
}
