/**
 * What `convert` was asked to do: turns the text of its options into the library's options, with the checks of
 * qemu-img in its order and words (img_convert in qemu-img.c). Pure; used by the parser of the command line.
 */
import type { ConvertOptions } from '../../convert/options.js';
import { validate, validateSources, validateTarget } from '../../convert/validate.js';
import { type Qcow2cError, quoted, usageError } from '../../errors.js';
import type { ImageFormat } from '../../image/image-reference.js';
import { readCacheSize, readMinSize, readRateLimit, readSparseSize } from '../options/argument-numbers.js';
import { readCacheMode } from '../options/cache-option.js';
import { storedFile } from '../options/file-names.js';
import {
  type FormatDraft,
  formatOptions,
  formatOptionsHelp,
  readFormatOptions,
} from '../options/format-options.js';
import { backingFormatOf, targetFormatOf, withReason } from '../options/image-formats.js';
import { refuseObject } from '../options/object-option.js';
import { asksForHelp, type OptionPair, parseOptionList } from '../options/option-list.js';
import { progressStyle } from '../options/progress-option.js';
import { readSnapshot } from '../options/snapshot-option.js';
import { workerBudgetOptions } from '../options/worker-budget-options.js';
import type { ProgressStyle } from '../progress/progress-display.js';
import { readSources, readTarget } from './image-arguments.js';
import type { ConvertWords } from './words.js';

export interface ConvertRequest {
  readonly kind: 'convert';
  readonly options: ConvertOptions;
  readonly progress: ProgressStyle;
  /** Print nothing but errors and what was left out of the target; not what --salvage took for zeros. */
  readonly quiet: boolean;
  /** Say afterwards what was done. */
  readonly verbose: boolean;
}

/** Why a target is raw whose format was not stated. */
const RAW_IMPLIED = "its name does not end in .qcow2; add '-O qcow2'";

/**
 * @param files the file names in their order; the last is the target
 * @returns the conversion, or the text that `-o help` asks for
 * @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED
 */
export function readConvertWords(
  files: readonly string[],
  words: ConvertWords,
): ConvertRequest | { readonly kind: 'text'; readonly text: string } {
  const { compress = false, quiet = false } = words;
  const numbers = readNumbers(words);
  const snapshot = words.snapshot === undefined ? undefined : readSnapshot(words.snapshot);
  const pairs = (words.targetFormatOptions ?? []).flatMap(parseOptionList);
  refuseClashes(words, pairs);
  if (asksForHelp(pairs)) {
    return { kind: 'text', text: formatOptionsHelp(targetFormatOf(words.targetFormat ?? 'qcow2')) };
  }

  const lastFile = files.at(-1);
  if (lastFile === undefined || files.length === 1) throw missingNames(files, pairs);
  const sourceCache = readCacheMode('source cache', words.sourceCache);
  const read = readSources(files.slice(0, -1), words);
  validateSources({ ...read, snapshot, bitmaps: words.bitmaps ? 'all' : undefined });
  const target = readTarget(lastFile, words);
  if (!words.create) refuseCreation(pairs, target.format);
  return withReason(target.isStated ? undefined : RAW_IMPLIED, () => {
    const draft = readFormatOptions(pairs, target.format);
    readBacking(draft, words, target.format);
    const keepTarget = !words.create;
    validateTarget({ ...read, targetFormat: target.format, compress, create: draft.create, keepTarget });
    const { create, ...compression } = formatOptions(draft, target.format, compress);
    const options: ConvertOptions = {
      ...read,
      snapshot,
      isolated: words.isolated,
      forceShare: words.forceShare,
      salvage: words.salvage,
      target: target.file,
      targetFormat: target.format,
      overwrite: target.isStated ? undefined : 'same format',
      compress,
      create,
      ...compression,
      recompress: words.recompress,
      bitmaps: words.bitmaps ? (words.skipBrokenBitmaps ? 'skip-broken' : 'all') : undefined,
      engine: words.engine === 'auto' ? undefined : words.engine,
      checkPayloads: words.checkPayloads,
      ...numbers,
      targetCache: readCacheMode('cache', words.targetCache),
      sourceCache,
      keepTarget,
      targetIsZero: words.targetIsZero,
      verify: words.verify,
    };
    validate(options);
    const verbose = !quiet && (words.verbose ?? false);
    return { kind: 'convert', options, progress: progressStyle(words), quiet, verbose };
  });
}

/** A target is easily forgotten, or taken for an option's value. */
function missingNames(files: readonly string[], pairs: readonly OptionPair[]): Qcow2cError {
  const [source] = files;
  const missing =
    source === undefined
      ? 'source and target are missing'
      : `the target is missing, ${quoted(source)} is the source`;
  // A whole name behind -o, where other programs take the output's.
  const name = pairs.find(({ key, bare }) => bare && /[./]/.test(key))?.key;
  const hint = name === undefined ? '' : `; -o takes format options, and ${quoted(name)} is not one`;
  return usageError(`Must specify image file name (${missing}${hint}; 'qcow2c convert [options] SRC DST')`);
}

/** The options whose value is a number. */
function readNumbers({ minSize, sparseSize, rateLimit, compressedCacheSize, ...words }: ConvertWords) {
  return {
    minSize: minSize === undefined ? undefined : readMinSize(minSize),
    sparseSize: sparseSize === undefined ? undefined : readSparseSize(sparseSize),
    rateLimit: rateLimit === undefined ? undefined : readRateLimit(rateLimit),
    ...workerBudgetOptions(words),
    compressedCacheSize: compressedCacheSize === undefined ? undefined : readCacheSize(compressedCacheSize),
  };
}

/** Options that cannot be together or not without another, whatever the files. */
function refuseClashes(words: ConvertWords, pairs: readonly OptionPair[]): void {
  const { compress, copyRangeOffloading, create } = words;
  refuseObject(words.object);
  if (words.skipBrokenBitmaps && !words.bitmaps) {
    throw usageError('Use of --skip-broken-bitmaps requires --bitmaps');
  }
  if (copyRangeOffloading) {
    if (compress) throw usageError('Cannot enable copy offloading when -c is used');
    if (words.sparseSize !== undefined) throw usageError('Cannot enable copy offloading when -S is used');
    if (words.salvage) throw usageError('Cannot use copy offloading in salvaging mode');
  }
  if (words.targetImageOpts && create) throw usageError('--target-image-opts requires use of -n flag');
  if (!create) refuseCreation(pairs);
  if (words.targetIsZero && create) throw usageError('--target-is-zero requires use of -n flag');
  if (words.recompress && !compress) throw usageError('--recompress requires -c');
}

/** Keys of -o that are about how clusters are compressed, and not about a new image. */
const OF_COMPRESSION = ['compression_level', 'compression_window_bits'];
/** Keys for the new image that -n makes in an empty file; for an image that is there, the conversion refuses them. */
const OF_NEW_IN_PLACE = [
  ...['cluster_size', 'compat', 'compression_type', 'extended_l2', 'lazy_refcounts', 'refcount_bits', 'size'],
];

/** Refuses keys of -o that -n leaves without effect. @param format undefined: not known yet */
function refuseCreation(pairs: readonly OptionPair[], format?: ImageFormat): void {
  const taken = format === 'raw' ? OF_COMPRESSION : [...OF_COMPRESSION, ...OF_NEW_IN_PLACE];
  if (pairs.every(({ key }) => taken.includes(key))) return;
  throw usageError('-o has no effect when skipping image creation');
}

/**
 * Adds -b and -F, which go before what -o says about the same. For a raw target, which is refused both, their values
 * are not looked at.
 */
function readBacking(
  { create }: FormatDraft,
  { backing, backingFormat, targetIsZero }: ConvertWords,
  format: ImageFormat,
): void {
  const isRaw = format === 'raw';
  if (backing !== undefined) create.backingFile = isRaw ? backing : storedFile(backing);
  if (backingFormat !== undefined) create.backingFormat = isRaw ? 'raw' : backingFormatOf(backingFormat);
  if (create.backingFile !== undefined && targetIsZero && !isRaw) {
    throw usageError('Cannot use --target-is-zero when the destination image has a backing file');
  }
}
