/**
 * What `convert` was asked to do: turns the text of its options into the library's options, with the checks
 * and the words of qemu-img (img_convert in qemu-img.c). Pure; used by the parser of the command line.
 */
import type { ConvertOptions } from '../convert/options.js';
import { usageError } from '../errors.js';
import type { ImageFormat } from '../image/image-reference.js';
import { CACHE_MODES, type CacheMode } from '../storage/cache-mode.js';
import { formatOptionsHelp, readFormatOptions } from './format-options.js';
import { parseInteger, parseSize } from './numbers.js';
import { asksForHelp, type OptionPair, parseOptionList } from './option-list.js';
import type { ProgressStyle } from './progress-display.js';

export interface ConvertRequest {
  readonly kind: 'convert';
  readonly options: ConvertOptions;
  readonly progress: ProgressStyle;
  /** Say afterwards what was done. */
  readonly verbose: boolean;
}

/** The options as they were typed, by their long names. */
export interface ConvertWords {
  readonly sourceFormat?: string;
  readonly targetFormat?: string;
  readonly compress?: boolean;
  readonly targetFormatOptions: readonly string[];
  /** False with -n. */
  readonly create: boolean;
  readonly sparseSize?: string;
  readonly engine?: NonNullable<ConvertOptions['engine']> | 'auto';
  readonly parallel?: string;
  readonly targetCache?: string;
  readonly sourceCache?: string;
  readonly compressedCacheSize?: string;
  /** -p */
  readonly p?: boolean;
  readonly progress?: ProgressStyle;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

const SECTOR_BYTES = 512;
/** qemu-img's largest copy buffer, 32768 sectors. */
const HIGHEST_SPARSE_SIZE = 32768 * SECTOR_BYTES;
const HIGHEST_INT64 = 2n ** 63n - 1n;
/** More threads than this are a slip of the keyboard, and more than the library has memory for. */
const HIGHEST_THREADS = 1023;
const FORMATS: readonly string[] = ['raw', 'qcow2'] satisfies ImageFormat[];

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
  const sparseSize = words.sparseSize === undefined ? undefined : readSparseSize(words.sparseSize);
  const threads = words.parallel === undefined ? undefined : readThreads(words.parallel);
  const compressedCacheSize =
    words.compressedCacheSize === undefined
      ? undefined
      : readSize('compressed cache size', words.compressedCacheSize, BigInt(Number.MAX_SAFE_INTEGER));

  const pairs = words.targetFormatOptions.flatMap(parseOptionList);
  if (asksForHelp(pairs)) {
    return { kind: 'text', text: formatOptionsHelp(readTargetFormat(words.targetFormat ?? 'qcow2')) };
  }
  if (!words.create && pairs.some(isOfCreation)) {
    throw usageError('-o has no effect when skipping image creation');
  }
  const target = files.at(-1);
  const [firstSource, ...otherSources] = files.slice(0, -1);
  if (target === undefined || firstSource === undefined) throw usageError('Must specify image file name');
  const sourceCache = readCacheMode('source cache', words.sourceCache);
  const sourceFormat = readSourceFormat(words.sourceFormat, firstSource);
  const impliedFormat = compress || target.endsWith('.qcow2') ? 'qcow2' : 'raw';
  const targetFormat = readTargetFormat(words.targetFormat ?? impliedFormat);
  const formatOptions = readFormatOptions(pairs, compress);
  const targetCache = readCacheMode('cache', words.targetCache);

  return {
    kind: 'convert',
    options: {
      sources: [firstSource, ...otherSources],
      target,
      sourceFormat,
      targetFormat,
      compress,
      ...formatOptions,
      engine: words.engine === 'auto' ? undefined : words.engine,
      threads,
      sparseSize,
      targetCache,
      sourceCache,
      compressedCacheSize,
      keepTarget: !words.create,
    },
    progress: quiet ? 'none' : (words.progress ?? (words.p ? 'auto' : 'none')),
    verbose: !quiet && (words.verbose ?? false),
  };
}

/** Whether a key of -o is about a new image, and not about how clusters are compressed. */
function isOfCreation({ key }: OptionPair): boolean {
  return key !== 'compression_level' && key !== 'compression_window_bits';
}

/** A size in bytes, with the words of cvtnum in qemu-img.c for what is none. */
function readSize(what: string, text: string, highest: bigint): number {
  const bytes = parseSize(text);
  if (bytes === 'malformed') {
    throw usageError(
      `Invalid ${what} specified. You may use k, M, G, T, P or E suffixes for ` +
        'kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.',
    );
  }
  if (bytes === 'too large' || bytes > highest) {
    throw usageError(`Invalid ${what} specified. Must be between 0 and ${highest}.`);
  }
  return Number(bytes);
}

function readSparseSize(text: string): number {
  const what = 'buffer size for sparse output';
  const bytes = readSize(what, text, HIGHEST_INT64);
  if (bytes % SECTOR_BYTES !== 0 || bytes > HIGHEST_SPARSE_SIZE) {
    throw usageError(
      `Invalid ${what} specified. Valid sizes are multiples of ${SECTOR_BYTES} up to ${HIGHEST_SPARSE_SIZE}. ` +
        'Select 0 to disable sparse detection (fully allocates output).',
    );
  }
  return bytes;
}

function readThreads(text: string): number {
  const threads = parseInteger(text);
  if (typeof threads === 'string' || threads < 1 || threads > HIGHEST_THREADS) {
    throw usageError(
      `Invalid number of threads '${text}'. Allowed number of threads is between 1 and ${HIGHEST_THREADS}`,
    );
  }
  return threads;
}

function readCacheMode(what: 'cache' | 'source cache', text: string | undefined): CacheMode | undefined {
  const mode = CACHE_MODES.find((name) => name === text);
  if (text !== undefined && mode === undefined) throw usageError(`Invalid ${what} option: ${text}`);
  return mode;
}

function isFormat(name: string): name is ImageFormat {
  return FORMATS.includes(name);
}

function readTargetFormat(name: string): ImageFormat {
  if (!isFormat(name)) throw usageError(`Unknown file format '${name}' (known: ${FORMATS.join(', ')})`);
  return name;
}

function readSourceFormat(name: string | undefined, source: string): ImageFormat | undefined {
  if (name === undefined || isFormat(name)) return name;
  throw usageError(`Could not open '${source}': Unknown driver '${name}' (known: ${FORMATS.join(', ')})`);
}
