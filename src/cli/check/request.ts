/** What `check` was asked to do. Pure; used by the parser of the command line. */
import type { CheckOptions } from '../../check/options.js';
import { quoted, usageError } from '../../errors.js';
import { asksForDirect } from '../../storage/cache-mode.js';
import { readCacheMode } from '../cache-option.js';
import { crewWishes } from '../crew-options.js';
import { oneOperand, readImageArgument } from '../image-argument.js';
import { refuseObject } from '../object-option.js';
import type { ProgressStyle } from '../progress-display.js';
import { progressStyle } from '../progress-option.js';
import type { CheckWords } from './words.js';

export interface CheckRequest {
  readonly kind: 'check';
  readonly options: CheckOptions;
  /** The image as it was typed. */
  readonly name: string;
  readonly output: 'human' | 'json';
  readonly progress: ProgressStyle;
  /** Print nothing but what is wrong. */
  readonly quiet: boolean;
}

/**
 * @param operands the image's name, or the options in its place
 * @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED, in qemu-img's words
 */
export function readCheckWords(operands: readonly string[], words: CheckWords): CheckRequest {
  const name = oneOperand(operands);
  refuseObject(words.object);
  const { data = false, output = 'human', quiet = false } = words;
  const cache = readCacheMode('source cache', words.cache);
  const wishes = crewWishes(words);
  const image = readImageArgument(name, words);
  if (words.repair !== undefined && image.forceShare === true) {
    throw usageError(`Could not open ${quoted(name)}: force-share=on can only be used with read-only images`);
  }
  return {
    kind: 'check',
    options: { image, direct: asksForDirect(cache), data, repair: words.repair, ...wishes },
    name,
    output,
    progress: progressStyle(words),
    quiet,
  };
}
