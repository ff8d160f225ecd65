/**
 * Turns the text of measure's options into the library's options, with the checks of qemu-img in its order and words
 * (img_measure in qemu-img.c). Pure; used by the parser of the command line.
 */

import { usageError } from '../../errors.js';
import { LARGEST_SIZE, type MeasureOptions, validateMeasurement } from '../../measure/options.js';
import { SECTOR_SIZE } from '../../sector.js';
import { readSize } from '../options/argument-numbers.js';
import { formatOptionsHelp } from '../options/format-option-keys.js';
import { formatOptionPairs, formatOptions, readFormatOptions } from '../options/format-options.js';
import { readImageArgument } from '../options/image-argument.js';
import { sourceFormatOf, targetFormatOf, withReason } from '../options/image-formats.js';
import { type NbdWords, nbdOptions } from '../options/nbd-options.js';
import { parseSize } from '../options/numbers.js';
import { refuseObject } from '../options/object-option.js';
import { asksForHelp } from '../options/option-list.js';
import { progressStyle } from '../options/progress-option.js';
import { readSnapshot } from '../options/snapshot-option.js';
import { type WorkerBudgetWords, workerBudgetOptions } from '../options/worker-budget-options.js';
import type { ProgressStyle } from '../progress/progress-display.js';

/** The options as typed, by the last of their names (see the table). */
interface MeasureWords extends WorkerBudgetWords, NbdWords {
  readonly format?: string;
  readonly imageOpts?: boolean;
  readonly snapshot?: string;
  readonly forceShare?: boolean;
  readonly object?: string;
  readonly size?: string;
  readonly targetFormat?: string;
  readonly targetFormatOptions?: readonly string[];
  readonly compress?: boolean;
  readonly bitmap?: string;
  readonly compareWithBacking?: boolean;
  readonly sample?: string;
  readonly engine?: NonNullable<MeasureOptions['engine']> | 'auto';
  readonly fast?: boolean;
  readonly checkPayloads?: boolean;
  readonly output?: 'human' | 'json';
  /** -p */
  readonly p?: boolean;
  readonly progress?: ProgressStyle;
}

export interface MeasureRequest {
  readonly kind: 'measure';
  readonly options: MeasureOptions;
  /** The measured image's name, for messages. */
  readonly name: string;
  readonly output: 'human' | 'json';
  readonly progress: ProgressStyle;
}

/** The name of standard input as a source; a file of that name is './-'. */
const STANDARD_INPUT = '-';
const RAW_BY_DEFAULT = "measure takes raw by default, as qemu-img does; add '-O qcow2'";

/**
 * @returns the measurement, or the text that `-o help` asks for
 * @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED
 */
export function readMeasureWords(
  operands: readonly string[],
  words: MeasureWords,
): MeasureRequest | { readonly kind: 'text'; readonly text: string } {
  const { compress = false, output = 'human', bitmap, compareWithBacking, checkPayloads } = words;
  const pairs = formatOptionPairs(words);
  refuseObject(words.object);
  const size = words.size === undefined ? undefined : readImageSize(words.size);
  const snapshot = words.snapshot === undefined ? undefined : readSnapshot(words.snapshot);
  const sample = words.sample === undefined ? undefined : readPercent(words.sample);
  const budget = workerBudgetOptions(words);
  const targetFormat = targetFormatOf(words.targetFormat ?? (compress ? 'qcow2' : 'raw'));
  if (asksForHelp(pairs)) return { kind: 'text', text: formatOptionsHelp(targetFormat) };
  const [file] = operands;
  if (operands.length > 1) throw usageError('At most one filename argument is allowed.');
  const engine = words.engine === 'auto' ? undefined : words.engine;
  const target = { compress, bitmap, compareWithBacking, sample, engine, checkPayloads };
  validateMeasurement({
    source: file,
    sourceFormat: words.format ?? words.imageOpts,
    size,
    snapshot,
    targetFormat: words.targetFormat === undefined ? undefined : targetFormat,
    ...target,
  });
  const source = file === undefined ? {} : readSource(file, words);
  const format = withReason(words.targetFormat === undefined ? RAW_BY_DEFAULT : undefined, () =>
    formatOptions(readFormatOptions(pairs, targetFormat), targetFormat, compress),
  );
  const options: MeasureOptions = {
    ...source,
    ...format,
    size,
    snapshot,
    targetFormat,
    ...target,
    ...budget,
    ...nbdOptions(words),
  };
  validateMeasurement(options);
  return {
    kind: 'measure',
    options,
    name: file ?? `${size} bytes`,
    output,
    progress: progressStyle(words),
  };
}

function readSource(file: string, words: MeasureWords): Pick<MeasureOptions, 'source' | 'sourceFormat'> {
  const { format, imageOpts } = words;
  if (file !== STANDARD_INPUT || imageOpts) return { source: readImageArgument(file, words) };
  return {
    source: { stream: 0, name: 'standard input' },
    sourceFormat: format === undefined ? undefined : sourceFormatOf(format),
  };
}

/** The value of --size. @returns bytes, rounded up to sectors; no result depends on the rounding */
function readImageSize(text: string): number {
  readSize('image size', text, BigInt(LARGEST_SIZE));
  const sector = BigInt(SECTOR_SIZE);
  return Number(((BigInt(parseSize(text)) + sector - 1n) / sector) * sector);
}

/** The value of --sample. */
function readPercent(text: string): number {
  const percent = /^(\d+(\.\d*)?|\.\d+)%?$/.test(text) ? Number.parseFloat(text) : 0;
  if (percent > 0 && percent <= 100) return percent;
  throw usageError(`Invalid sample '${text}'. It must be a percentage above 0 and up to 100`);
}
