/** Turns the text of info's options into the library's options. Pure; used by the parser. */
import { Qcow2cError } from '../../errors.js';
import type { ImageInfoOptions } from '../../info/image-info.js';
import { oneOperand, readImageArgument } from '../options/image-argument.js';
import { type NbdWords, nbdOptions } from '../options/nbd-options.js';
import { progressStyle } from '../options/progress-option.js';
import { type WorkerBudgetWords, workerBudgetOptions } from '../options/worker-budget-options.js';
import type { ProgressStyle } from '../progress/progress-display.js';

export interface InfoRequest {
  readonly kind: 'info';
  readonly options: ImageInfoOptions;
  readonly output: 'human' | 'json';
  readonly progress: ProgressStyle;
}

/** The options as typed, by the last of their names (see the table). */
export interface InfoWords extends WorkerBudgetWords, NbdWords {
  readonly format?: string;
  readonly imageOpts?: boolean;
  readonly output?: 'human' | 'json';
  readonly backingChain?: boolean;
  readonly deep?: boolean;
  /** -p */
  readonly p?: boolean;
  readonly progress?: ProgressStyle;
  readonly forceShare?: boolean;
  readonly object?: string;
}

/** @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED, in qemu-img's words (img_info in qemu-img.c) */
export function readInfoWords(operands: readonly string[], words: InfoWords): InfoRequest {
  const { output = 'human', backingChain, deep } = words;
  if (words.object !== undefined) {
    throw new Qcow2cError(
      'ERR_UNSUPPORTED',
      '--object is not supported: info reads headers, which needs no secret',
    );
  }
  const budget = workerBudgetOptions(words);
  const name = oneOperand(operands);
  return {
    kind: 'info',
    options: { image: readImageArgument(name, words), backingChain, deep, ...budget, ...nbdOptions(words) },
    output,
    progress: progressStyle(words),
  };
}
