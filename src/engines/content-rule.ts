/** Rules that choose by the content of a cluster, as tables of limits. */
import type { ClusterContent } from './cluster-content.js';

/** From the first number on, below the second. */
type Range = readonly [least: number, limit: number];

/** Ranges of what a cluster holds. What is not named may be anything. */
export type Ranges = { readonly [feature in keyof ClusterContent]?: Range };

/** What the clusters hold, what is chosen for them, and how they are recognised. */
export type Rule<Choice> = readonly [content: string, choice: Choice, where: Ranges];

/** @param least of a share, or of a count */
export const from = (least: number): Range => [least, Number.POSITIVE_INFINITY];

export const below = (limit: number): Range => [Number.NEGATIVE_INFINITY, limit];

/** Random, compressed and encoded bytes, machine code, and much that is measured. */
export const DENSE = below(0.0325);
export const NOT_DENSE = from(0.0325);
/** Pages of up to 16 KiB. */
export const DATABASE: Ranges = { databasePages: from(0.2) };
/** Every byte value several times in a row. */
export const RUNS: Ranges = { collision: below(0.008), printable: below(0.45), repeats: from(0.42) };
export const SHORT_RUNS: Ranges = { collision: below(0.006), printable: below(0.45), repeats: from(0.18) };
/** Chinese in UTF-16. The higher byte of a character looks like a letter. */
export const WIDE_TEXT: Ranges = {
  ...{ printable: [0.45, 0.8], high: [0.09, 0.25], zeros: below(0.03) },
  ...{ distinct: from(150), collision: from(0.08) },
};

const FEATURES: readonly (keyof ClusterContent)[] = [
  ...(['printable', 'digits', 'zeros', 'high', 'distinct', 'collision'] as const),
  ...(['repeats4', 'repeats', 'printableOrZero', 'highOfOthers'] as const),
  'databasePages',
];

/**
 * @param rules the last one fits everything
 * @returns finds the choice of the first rule that fits
 */
export function chooser<Choice>(rules: readonly Rule<Choice>[]): (content: ClusterContent) => Choice {
  const choices = rules.map(([, choice]) => choice);
  // Each rule as a list of feature, least and limit: there are dozens of rules, and each cluster is judged.
  const limits = rules.map(([, , where]) =>
    FEATURES.flatMap((feature, at) => (where[feature] === undefined ? [] : [at, ...where[feature]])),
  );
  return (content) => {
    const values = FEATURES.map((feature) => content[feature]);
    const fitting = limits.findIndex((list) => {
      for (let at = 0; at < list.length; at += 3) {
        const value = values[list[at] as number] as number;
        if (!(value >= (list[at + 1] as number) && value < (list[at + 2] as number))) return false;
      }
      return true;
    });
    return choices[fitting] as Choice;
  };
}
