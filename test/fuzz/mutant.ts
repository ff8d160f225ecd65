/** One mutant: which image, how it is changed and how it is read. The same for the same seed and number. */
import type { BaseImage, Read } from './base-images.js';
import { type Mutation, mutate } from './mutator.js';
import { Random } from './random.js';

/** How the reader opens the image: with its format given or probed, or with names refused. */
type Trust = 'stated' | 'guessed' | 'isolated';
/** How it is converted: `packed` copies payloads; `bitmaps` copies bitmaps. */
type Target = 'raw' | 'plain' | 'packed' | 'bitmaps';

export interface Mutant {
  readonly base: string;
  readonly read: Read | undefined;
  readonly trust: Trust;
  readonly target: Target;
  readonly salvage: boolean;
  /** Past the page cache: every read is aligned then. */
  readonly direct: boolean;
  readonly mutations: readonly Mutation[];
}

/** @param lure see `mutate` */
export function mutantOf(bases: readonly BaseImage[], lure: string, seed: number, index: number): Mutant {
  const random = new Random(seed, index);
  const base = random.weighed(bases.map((one) => [one.weight, one] as const));
  return {
    base: base.name,
    read: random.pick(base.reads),
    trust: random.weighed<Trust>([
      [base.namesFiles ? 8 : 2, 'stated'],
      [2, 'guessed'],
      [1, 'isolated'],
    ]),
    target: random.weighed<Target>([
      [14, 'raw'],
      [2, 'plain'],
      [4, 'packed'],
      [base.hasBitmaps ? 20 : 0, 'bitmaps'],
    ]),
    salvage: random.chance(0.1),
    direct: random.chance(0.1),
    mutations: mutate(base.files, lure, random),
  };
}

/** A mutant in words. */
export function inWords({ base, read, trust, target, salvage, direct, mutations }: Mutant): string {
  const how = [
    trust,
    target,
    ...(read === undefined ? [] : [`-l ${read.word}`]),
    ...(salvage ? ['salvage'] : []),
    ...(direct ? ['direct'] : []),
  ];
  return `${base} (${how.join(', ')}): ${mutations.map(({ file, what, ...at }) => `${file} ${'at' in at ? `${at.at} ` : ''}${what}`).join('; ')}`;
}
