/**
 * Turns the text of compare's options into the library's options, with the checks and messages of qemu-img (img_compare
 * in qemu-img.c). Pure; used by the parser of the command line.
 */
import type { CompareOptions } from '../../compare/options.js';
import { quoted, usageError } from '../../errors.js';
import { readCacheMode } from '../options/cache-option.js';
import { readImageArgument } from '../options/image-argument.js';
import { type NbdWords, nbdOptions } from '../options/nbd-options.js';
import { refuseObject } from '../options/object-option.js';
import { progressStyle } from '../options/progress-option.js';
import { type WorkerBudgetWords, workerBudgetOptions } from '../options/worker-budget-options.js';
import type { ProgressStyle } from '../progress/progress-display.js';

/** The options as typed, by the last of their names (see the table). */
export interface CompareWords extends WorkerBudgetWords, NbdWords {
  readonly aFormat?: string;
  readonly bFormat?: string;
  readonly imageOpts?: boolean;
  readonly strict?: boolean;
  readonly cache?: string;
  readonly forceShare?: boolean;
  readonly object?: string;
  /** -p */
  readonly p?: boolean;
  readonly progress?: ProgressStyle;
  readonly quiet?: boolean;
}

export interface CompareRequest {
  readonly kind: 'compare';
  readonly options: CompareOptions;
  /** The images as typed. */
  readonly files: readonly [string, string];
  readonly progress: ProgressStyle;
  /** Print errors only. */
  readonly quiet: boolean;
}

/**
 * @param operands the words other than options
 * @throws Qcow2cError ERR_USAGE unless there are two; ERR_USAGE or ERR_UNSUPPORTED for an option
 */
export function readCompareWords(operands: readonly string[], words: CompareWords): CompareRequest {
  const [first, second, ...more] = operands;
  if (first === undefined || second === undefined || more.length > 0) {
    const given = operands.map(quoted).join(' and ');
    const found =
      first === undefined ? 'none was given' : `${operands.length === 1 ? 'but only' : 'not'} ${given}`;
    throw usageError(`Expecting two image file names (${found})`);
  }
  const { aFormat, bFormat, object, strict, quiet = false } = words;
  refuseObject(object);
  const budget = workerBudgetOptions(words);
  const cache = readCacheMode('source cache', words.cache);
  const images = [
    readImageArgument(first, { ...words, format: aFormat }),
    readImageArgument(second, { ...words, format: bFormat, formatOption: '-F ' }),
  ] as const;
  return {
    kind: 'compare',
    options: { images, strict, cache, ...budget, ...nbdOptions(words) },
    files: [first, second],
    progress: progressStyle(words),
    quiet,
  };
}
