/**
 * What `convert` was asked to do: turns the text of its options into the library's options, with the checks of
 * qemu-img in its order and words (img_convert in qemu-img.c). Pure; used by the parser of the command line.
 */
import type { ConvertOptions } from '../../convert/options.js';
import { usageError } from '../../errors.js';
import type { ImageFormat } from '../../image/image-reference.js';
import { readCacheSize, readRateLimit, readSparseSize } from '../argument-numbers.js';
import { readCacheMode } from '../cache-option.js';
import { crewWishes } from '../crew-options.js';
import { storedFile } from '../file-names.js';
import { type FormatDraft, formatOptions, formatOptionsHelp, readFormatOptions } from '../format-options.js';
import { backingFormatOf, targetFormatOf } from '../image-formats.js';
import { refuseObject } from '../object-option.js';
import { asksForHelp, type OptionPair, parseOptionList } from '../option-list.js';
import type { ProgressStyle } from '../progress-display.js';
import { progressStyle } from '../progress-option.js';
import { readSnapshot } from '../snapshot-option.js';
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
  if (lastFile === undefined || files.length === 1) throw usageError('Must specify image file name');
  const sourceCache = readCacheMode('source cache', words.sourceCache);
  const { isStream, ...read } = readSources(files.slice(0, -1), words);
  const isOne = read.sources.length === 1;
  if (snapshot !== undefined && !isOne) throw usageError('No support for concatenating multiple snapshot');
  const target = readTarget(lastFile, words);
  const draft = readFormatOptions(pairs, target.format);
  readBacking(draft, words, target.format, isOne);
  if (compress && target.format === 'raw') throw usageError('Compression not supported for this file format');
  const { create, ...compression } = formatOptions(draft, target.format, compress);
  if (words.bitmaps && !isOne) throw usageError('Copying bitmaps only possible with single source');
  const targetCache = readCacheMode('cache', words.targetCache);
  if (words.bitmaps && target.format === 'raw')
    throw usageError("Format driver 'raw' does not support bitmaps");

  return {
    kind: 'convert',
    options: {
      ...read,
      snapshot,
      isolated: words.isolated,
      forceShare: words.forceShare,
      salvage: words.salvage,
      target: target.file,
      targetFormat: target.format,
      overwrite: target.isStated ? undefined : 'same format',
      compress,
      // Sources that have a size keep it.
      create: isStream ? create : { ...create, size: undefined },
      ...compression,
      recompress: words.recompress,
      bitmaps: words.bitmaps ? (words.skipBrokenBitmaps ? 'skip-broken' : 'all') : undefined,
      engine: words.engine === 'auto' ? undefined : words.engine,
      ...numbers,
      targetCache,
      sourceCache,
      keepTarget: !words.create,
      targetIsZero: words.targetIsZero,
      verify: words.verify,
    },
    progress: progressStyle(words),
    quiet,
    verbose: !quiet && (words.verbose ?? false),
  };
}

/** The options whose value is a number. */
function readNumbers({ sparseSize, rateLimit, compressedCacheSize, ...words }: ConvertWords) {
  return {
    sparseSize: sparseSize === undefined ? undefined : readSparseSize(sparseSize),
    rateLimit: rateLimit === undefined ? undefined : readRateLimit(rateLimit),
    ...crewWishes(words),
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
  if (!create && pairs.some(isOfCreation)) {
    throw usageError('-o has no effect when skipping image creation');
  }
  if (words.targetIsZero && create) throw usageError('--target-is-zero requires use of -n flag');
  if (words.recompress && !compress) throw usageError('--recompress requires -c');
}

/** Whether a key of -o is about a new image, and not about how clusters are compressed. */
function isOfCreation({ key }: OptionPair): boolean {
  return key !== 'compression_level' && key !== 'compression_window_bits';
}

/** Adds -b and -F, which go before what -o says about the same. */
function readBacking(
  { create }: FormatDraft,
  { backing, backingFormat, create: isNew, targetIsZero }: ConvertWords,
  format: ImageFormat,
  isOneSource: boolean,
): void {
  if (backing !== undefined) {
    if (format === 'raw') throw usageError("Backing file not supported for file format 'raw'");
    create.backingFile = storedFile(backing);
  }
  if (backingFormat !== undefined) {
    if (format === 'raw') throw usageError("Backing file format not supported for file format 'raw'");
    create.backingFormat = backingFormatOf(backingFormat);
  }
  if (create.backingFile === undefined) return;
  if (targetIsZero) {
    throw usageError('Cannot use --target-is-zero when the destination image has a backing file');
  }
  if (!isOneSource) {
    throw usageError(
      'Having a backing file for the target makes no sense when concatenating multiple input images',
    );
  }
  // With -n the image has its own backing file, and the format of that.
  if (isNew && create.backingFormat === undefined) {
    throw usageError('Use of backing file requires explicit backing format');
  }
}
