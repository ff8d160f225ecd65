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
  readonly debug?: boolean;
}

/**
 * The request as the parser of the command line accepts it. Other errors have exit codes that only the command can
 * return.
 */
export interface CompareRequest {
  readonly kind: 'compare';
  /** As typed. */
  readonly files: readonly [string, string];
  readonly words: CompareWords;
}

/**
 * @param operands the words other than options
 * @throws Qcow2cError ERR_USAGE unless there are two
 */
export function readCompareWords(operands: readonly string[], words: CompareWords): CompareRequest {
  const [first, second, ...more] = operands;
  if (first === undefined || second === undefined || more.length > 0) {
    const given = operands.map(quoted).join(' and ');
    const found =
      first === undefined ? 'none was given' : `${operands.length === 1 ? 'but only' : 'not'} ${given}`;
    throw usageError(`Expecting two image file names (${found})`);
  }
  return { kind: 'compare', files: [first, second], words };
}

/** @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED */
export function compareOptions({ files, words }: CompareRequest): CompareOptions {
  const { aFormat, bFormat, object, strict } = words;
  refuseObject(object);
  const budget = workerBudgetOptions(words);
  const cache = readCacheMode('source cache', words.cache);
  return {
    images: [
      readImageArgument(files[0], { ...words, format: aFormat }),
      readImageArgument(files[1], { ...words, format: bFormat }),
    ],
    strict,
    cache,
    ...budget,
    ...nbdOptions(words),
  };
}
