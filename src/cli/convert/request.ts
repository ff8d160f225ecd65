/**
 * Turns the words of `convert` into the options of the library. The library's `validate` checks the options. The checks
 * of qemu-img that concern only the command line are here, with its messages (img_convert in qemu-img.c). Pure.
 */
import type { ConvertOptions } from '../../convert/options.js';
import {
  noEffectInPlace,
  validate,
  validateCompression,
  validateSparseSize,
} from '../../convert/validate.js';
import { type Qcow2cError, quoted, usageError } from '../../errors.js';
import { type ImageFormat, missingFileName } from '../../image/image-reference.js';
import { isNbdName } from '../../nbd/nbd-name.js';
import { asksForDirect } from '../../storage/cache-mode.js';
import { readCacheSize, readMinSize, readRateLimit, readSize } from '../options/argument-numbers.js';
import { readCacheMode } from '../options/cache-option.js';
import { sourceFile, storedFile, targetFile } from '../options/file-names.js';
import { type FormatDraft, formatOptionsHelp } from '../options/format-option-keys.js';
import { formatOptionPairs, formatOptions, readFormatOptions } from '../options/format-options.js';
import { backingFormatOf, sourceFormatOf, targetFormatOf, withReason } from '../options/image-formats.js';
import { readImageOptions, readTargetOptions } from '../options/image-options.js';
import { nbdOptions } from '../options/nbd-options.js';
import { refuseObject } from '../options/object-option.js';
import { asksForHelp, type OptionPair } from '../options/option-list.js';
import { progressStyle } from '../options/progress-option.js';
import { readSnapshot } from '../options/snapshot-option.js';
import { workerBudgetOptions } from '../options/worker-budget-options.js';
import type { ProgressStyle } from '../progress/progress-display.js';
import type { ConvertWords } from './words.js';

export interface ConvertRequest {
  readonly kind: 'convert';
  readonly options: ConvertOptions;
  /** json: print the result as an object on standard output. */
  readonly output: 'human' | 'json';
  readonly progress: ProgressStyle;
  /** Print errors and warnings only, without the ranges that --salvage replaced with zeros. */
  readonly quiet: boolean;
  /** Print a summary afterwards. */
  readonly verbose: boolean;
}

/** The name of standard input as a source, and of standard output as the target; a file of that name is './-'. */
export const STANDARD_STREAM = '-';
const TWO_FORMATS = '--image-opts and --format are mutually exclusive';
/** The reason added to an error about a target that is raw although its format was not stated. */
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
  const pairs = formatOptionPairs(words);
  refuseClashes(words, pairs);
  if (asksForHelp(pairs)) {
    return { kind: 'text', text: formatOptionsHelp(targetFormatOf(words.targetFormat ?? 'qcow2')) };
  }

  const lastFile = files.at(-1);
  if (lastFile === undefined || files.length === 1) throw missingNames(files, pairs);
  const sourceCache = readCacheMode('source cache', words.sourceCache);
  const read = readSources(files.slice(0, -1), words);
  // As in qemu-img, the first of several mistakes is reported: options are checked as soon as they are known.
  const bitmaps = words.bitmaps ? (words.skipBrokenBitmaps ? 'skip-broken' : 'all') : undefined;
  validate({ ...read, snapshot, bitmaps });
  const engine = words.engine === 'auto' ? undefined : words.engine;
  const { recompress, checkPayloads } = words;
  const { compressedCacheSize } = numbers;
  const compression = { compress, recompress, engine, checkPayloads, compressedCacheSize };
  // A target that is raw only because of its name becomes a qcow2 image with -c.
  validateCompression({ ...compression, targetFormat: words.targetFormat });
  const target = readTarget(lastFile, words);
  if (!words.create) refuseCreation(pairs, target.format);
  return withReason(target.isStated ? undefined : RAW_IMPLIED, () => {
    const draft = readFormatOptions(pairs, target.format);
    readBacking(draft, words, target.format);
    const keepTarget = !words.create;
    const { spool, verify, targetIsZero } = words;
    const known = { ...read, target: target.file, spool, verify, targetIsZero };
    validate({ ...known, targetFormat: target.format, compress, create: draft.create, keepTarget });
    const { create, ...levels } = formatOptions(draft, target.format, compress);
    const options: ConvertOptions = {
      ...read,
      snapshot,
      isolated: words.isolated,
      forceShare: words.forceShare,
      salvage: words.salvage,
      target: target.file,
      spool: words.spool,
      targetFormat: target.format,
      overwrite: target.isStated ? undefined : 'same format',
      create,
      ...levels,
      bitmap: words.bitmap,
      compareWithBacking: words.compareWithBacking,
      bitmaps,
      ...numbers,
      ...compression,
      targetCache: readCacheMode('cache', words.targetCache),
      sourceCache,
      keepTarget,
      targetIsZero: words.targetIsZero,
      verify: words.verify,
      digest: words.digest,
      sha256: words.sha256,
    };
    validate(options);
    const verbose = !quiet && (words.verbose ?? false);
    const { output = 'human' } = words;
    return { kind: 'convert', options, output, progress: progressStyle(words), quiet, verbose };
  });
}

/** @param files as typed, at least one */
function readSources(
  files: readonly string[],
  words: ConvertWords,
): Pick<ConvertOptions, 'sources' | 'sourceFormat'> {
  const { sourceFormat, forceShare = false } = words;
  if (words.sourceImageOpts) {
    if (sourceFormat !== undefined) throw usageError(TWO_FORMATS);
    const use = {
      role: 'source',
      direct: asksForDirect(words.sourceCache ?? 'writeback'),
      forceShare,
    } as const;
    return { sources: files.map((text) => readImageOptions(text, use)) };
  }
  const [first = ''] = files;
  const format =
    sourceFormat === undefined
      ? undefined
      : sourceFormatOf(sourceFormat, `Could not open ${quoted(first)}: `);
  return { sources: files.map(sourceOf), sourceFormat: format };
}

function sourceOf(file: string): ConvertOptions['sources'][number] {
  return file === STANDARD_STREAM ? { stream: 0, name: 'standard input' } : sourceFile(file);
}

interface NamedTarget {
  readonly file: ConvertOptions['target'];
  readonly format: ImageFormat;
  /** Whether the format was stated; otherwise it follows from other options and the name. */
  readonly isStated: boolean;
}

/** @param file as typed */
function readTarget(file: string, words: ConvertWords): NamedTarget {
  const { targetFormat, targetCache = 'none' } = words;
  if (words.targetImageOpts) {
    if (targetFormat !== undefined) throw usageError(TWO_FORMATS);
    const direct = asksForDirect(targetCache);
    return { ...readTargetOptions(file, { direct, forceShare: false }), isStated: true };
  }
  // The name of an export says nothing about its content.
  const implied = words.compress || (file.endsWith('.qcow2') && !isNbdName(file)) ? 'qcow2' : 'raw';
  const format = targetFormatOf(targetFormat ?? implied);
  const target = file === STANDARD_STREAM ? { stream: 1, name: 'standard output' } : targetFile(file);
  return { file: target, format, isStated: targetFormat !== undefined };
}

/** The error of missing names: the target may be missing, or may have been read as the value of an option. */
function missingNames(files: readonly string[], pairs: readonly OptionPair[]): Qcow2cError {
  const [source] = files;
  const missing =
    source === undefined
      ? 'source and target are missing'
      : `the target is missing, ${quoted(source)} is the source`;
  // In other programs the name of the output follows -o.
  const name = pairs.find(({ key, bare }) => bare && /[./]/.test(key))?.key;
  const hint = name === undefined ? '' : `; -o takes format options, and ${quoted(name)} is not one`;
  return missingFileName(`${missing}${hint}; 'qcow2c convert [options] SRC DST'`);
}

/** The options whose value is a number. */
function readNumbers({ minSize, sparseSize, rateLimit, compressedCacheSize, ...words }: ConvertWords) {
  return {
    minSize: minSize === undefined ? undefined : readMinSize(minSize),
    sparseSize: sparseSize === undefined ? undefined : readSparseSize(sparseSize),
    rateLimit: rateLimit === undefined ? undefined : readRateLimit(rateLimit),
    ...workerBudgetOptions(words),
    ...nbdOptions(words),
    compressedCacheSize: compressedCacheSize === undefined ? undefined : readCacheSize(compressedCacheSize),
  };
}

/** The value of -S. As in qemu-img, an invalid one is reported before other mistakes. @returns bytes */
function readSparseSize(text: string): number {
  const bytes = readSize('buffer size for sparse output', text);
  validateSparseSize(bytes);
  return bytes;
}

/** Refuses options that exclude each other or require another one. */
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
}

/** Keys of -o that say how clusters are compressed. They apply to an existing image, too. */
const OF_COMPRESSION = ['compression_level', 'compression_window_bits'];
/** Keys for the new image that -n makes in an empty file. The conversion refuses them for an existing image. */
const OF_NEW_IN_PLACE = [
  ...['cluster_size', 'compat', 'compression_type', 'extended_l2', 'lazy_refcounts', 'refcount_bits', 'size'],
];

/** Refuses keys of -o that have no effect with -n. @param format undefined: not known yet */
function refuseCreation(pairs: readonly OptionPair[], format?: ImageFormat): void {
  const taken = format === 'raw' ? OF_COMPRESSION : [...OF_COMPRESSION, ...OF_NEW_IN_PLACE];
  if (pairs.every(({ key }) => taken.includes(key))) return;
  throw noEffectInPlace();
}

/** Adds -b and -F, which override the keys of -o. `validate` refuses both for a raw target, whatever their values. */
function readBacking(
  { create }: FormatDraft,
  { backing, backingFormat }: ConvertWords,
  format: ImageFormat,
): void {
  const isRaw = format === 'raw';
  if (backing !== undefined) create.backingFile = isRaw ? backing : storedFile(backing);
  if (backingFormat !== undefined) create.backingFormat = isRaw ? 'raw' : backingFormatOf(backingFormat);
}
