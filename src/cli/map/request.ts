/**
 * The request of `map`, with the checks of qemu-img in its order and words (img_map in qemu-img.c). Pure; used by the
 * parser of the command line.
 */
import type { MapOptions } from '../../map/options.js';
import { readSize } from '../options/argument-numbers.js';
import { oneOperand, readImageArgument } from '../options/image-argument.js';
import { type NbdWords, nbdOptions } from '../options/nbd-options.js';
import { refuseObject } from '../options/object-option.js';

/** The words of the options, under their last names. */
export interface MapWords extends NbdWords {
  readonly format?: string;
  readonly imageOpts?: boolean;
  readonly startOffset?: string;
  readonly maxLength?: string;
  readonly output?: MapOutput;
  readonly forceShare?: boolean;
  readonly object?: string;
}

type MapOutput = 'human' | 'json' | 'svg';

export interface MapRequest {
  readonly kind: 'map';
  readonly options: MapOptions;
  readonly output: MapOutput;
}

/** @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED */
export function readMapWords(operands: readonly string[], words: MapWords): MapRequest {
  const { startOffset, maxLength, output = 'human' } = words;
  refuseObject(words.object);
  const numbers = {
    startOffset: startOffset === undefined ? undefined : readSize('start offset', startOffset),
    maxLength: maxLength === undefined ? undefined : readSize('max length', maxLength),
  };
  const name = oneOperand(operands);
  return {
    kind: 'map',
    options: { image: readImageArgument(name, words), ...numbers, ...nbdOptions(words) },
    output,
  };
}
