/** The completions for an option's argument, and the option's short description. Used by the writers of scripts. */
import type { OptionRow } from '../options/option-table.js';

export type Offer =
  /** The argument can be anything. */
  | { readonly kind: 'any' }
  | { readonly kind: 'file' }
  | { readonly kind: 'words'; readonly words: readonly string[] }
  /** KEY=VALUE[,KEY=VALUE...], with the completions for each VALUE. */
  | { readonly kind: 'pairs'; readonly keys: Readonly<Record<string, readonly string[]>> };

/** @returns undefined for an option without an argument */
export function offerOf({ argument, choices, completes = choices }: OptionRow): Offer | undefined {
  if (argument === undefined) return undefined;
  if (completes === undefined) return { kind: 'any' };
  if (completes === 'file') return { kind: 'file' };
  return isWords(completes) ? { kind: 'words', words: completes } : { kind: 'pairs', keys: completes };
}

function isWords(completes: NonNullable<OptionRow['completes']>): completes is readonly string[] {
  return Array.isArray(completes);
}

/** The start of an explanation, short enough for a list of options. */
export function brief(help: string): string {
  return help.replace(/[:;(].*$/s, '').trim();
}
