/** The request of `check`. Pure; used by the parser of the command line. */

import { type CheckOptions, validateCheck } from '../../check/options.js';
import { asksForDirect } from '../../storage/cache-mode.js';
import { readCacheMode } from '../options/cache-option.js';
import { oneOperand, readImageArgument } from '../options/image-argument.js';
import { type NbdWords, nbdOptions } from '../options/nbd-options.js';
import { refuseObject } from '../options/object-option.js';
import { progressStyle } from '../options/progress-option.js';
import { type WorkerBudgetWords, workerBudgetOptions } from '../options/worker-budget-options.js';
import type { ProgressStyle } from '../progress/progress-display.js';

/** The options as typed, by the last of their names (see the table). */
export interface CheckWords extends WorkerBudgetWords, NbdWords {
  readonly format?: string;
  readonly imageOpts?: boolean;
  readonly repair?: 'leaks' | 'all';
  readonly data?: boolean;
  readonly output?: 'human' | 'json';
  readonly cache?: string;
  /** -p */
  readonly p?: boolean;
  readonly progress?: ProgressStyle;
  readonly quiet?: boolean;
  readonly forceShare?: boolean;
  readonly object?: string;
}

export interface CheckRequest {
  readonly kind: 'check';
  readonly options: CheckOptions;
  /** The image as typed. */
  readonly name: string;
  readonly output: 'human' | 'json';
  readonly progress: ProgressStyle;
  /** Print errors and findings only. */
  readonly quiet: boolean;
}

/**
 * @param operands the image's name, or its options with --image-opts
 * @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED, in qemu-img's words
 */
export function readCheckWords(operands: readonly string[], words: CheckWords): CheckRequest {
  const name = oneOperand(operands);
  refuseObject(words.object);
  const { data = false, output = 'human', quiet = false } = words;
  const cache = readCacheMode('source cache', words.cache);
  const budget = workerBudgetOptions(words);
  const image = readImageArgument(name, words);
  const options = {
    image,
    direct: asksForDirect(cache),
    data,
    repair: words.repair,
    ...budget,
    ...nbdOptions(words),
  };
  validateCheck(options);
  return {
    kind: 'check',
    options,
    name,
    output,
    progress: progressStyle(words),
    quiet,
  };
}
