/**
 * Reads the lists of -o and turns them into the library's options. The library checks which values can be combined. Keys
 * of qemu-img that qcow2c does not support are refused here.
 */
import { requiresCompression } from '../../convert/compression-options.js';
import type { ConvertOptions } from '../../convert/options.js';
import { notWithCompression, refuseWithCompression } from '../../convert/validate.js';
import { Qcow2cError, usageError } from '../../errors.js';
import type { ImageFormat } from '../../image/image-reference.js';
import type { CreateOptions } from '../../qcow2/create-options.js';
import {
  applyFormatOption,
  type FormatDraft,
  formatOptionKeys,
  hasFormatOption,
  PREALLOCATION,
} from './format-option-keys.js';
import { type OptionPair, parseOptionList } from './option-list.js';
import { choice } from './option-values.js';
import { suggestion, withHint } from './suggestion.js';

/** The options set by the lists of -o. */
export type FormatOptions = Pick<ConvertOptions, 'compressionLevel' | 'compressionWindowBits'> & {
  readonly create: CreateOptions;
};

/**
 * The pairs of all -o lists in order, and the pair of --fast.
 * @throws Qcow2cError ERR_USAGE for a malformed list, for --fast without -c, and for two levels
 */
export function formatOptionPairs({
  targetFormatOptions: lists = [],
  targetFormat,
  compress = false,
  fast = false,
  engine,
}: {
  readonly targetFormatOptions?: readonly string[];
  readonly targetFormat?: string;
  readonly compress?: boolean;
  readonly fast?: boolean;
  readonly engine?: string;
}): OptionPair[] {
  const pairs = lists.flatMap(parseOptionList);
  if (fast && !compress) throw requiresCompression('--fast', targetFormat);
  // A raw target has no level. The library refuses -c for it.
  if (!fast || targetFormat === 'raw') return pairs;
  const key = 'compression_level';
  if (pairs.some((pair) => pair.key === key)) throw usageError(`--fast and -o ${key} exclude each other`);
  // Only for ISA-L, the fastest useful level is not the lowest.
  return [...pairs, { key, value: engine === 'isal' ? '2' : '1', bare: false }];
}

/**
 * Reads the pairs of all -o lists in their order. A repeated key replaces the earlier one.
 * @throws Qcow2cError ERR_USAGE for keys that the format does not have and for values of the wrong type;
 *   ERR_UNSUPPORTED for names and formats of files that qcow2c does not support
 */
export function readFormatOptions(pairs: readonly OptionPair[], format: ImageFormat): FormatDraft {
  const draft: FormatDraft = { create: {}, refused: new Map() };
  for (const { key, value } of pairs) {
    if (!applyFormatOption(draft, key, value, format)) throw unknownKey(key, format);
  }
  return draft;
}

/** The error of an unknown key. It suggests a similar key, also one that only qcow2 has. */
function unknownKey(key: string, format: ImageFormat): Qcow2cError {
  const message = `Invalid parameter '${key}'`;
  const meant = suggestedKey(key, format);
  if (meant !== '') return usageError(message + meant);
  const isOfQcow2 = hasFormatOption(key, 'qcow2');
  const meantOfQcow2 = isOfQcow2 ? '' : suggestedKey(key, 'qcow2');
  if (!isOfQcow2 && meantOfQcow2 === '') {
    return usageError(`${message} ('-O ${format} -o help' lists the keys)`);
  }
  const facts = { expected: 'qcow2', found: 'raw' };
  return usageError(withHint(message + meantOfQcow2, 'only qcow2 images have it'), facts);
}

function suggestedKey(key: string, format: ImageFormat): string {
  return suggestion(
    key,
    formatOptionKeys(format).map((known) => known.key),
  );
}

/** Refuses options that exclude compression: encryption here, because the library has none. */
function refuseClashesWithCompression({ create, preallocation, refused }: FormatDraft): void {
  if ([...refused.keys()].some(isOfEncryption)) throw notWithCompression('encryption');
  refuseWithCompression({ preallocation, dataFile: create.dataFile });
}

function isOfEncryption(key: string): boolean {
  return key.startsWith('encrypt');
}

/** The reason why a key is not supported. */
function refusal(key: string): string {
  if (isOfEncryption(key)) return 'qcow2c does not encrypt';
  return 'set it on the directory or on an existing file, and use -n';
}

/**
 * Turns the values read into the options of the library.
 * @param compress whether clusters are to be compressed
 * @throws Qcow2cError ERR_USAGE for options that exclude each other, ERR_UNSUPPORTED for keys of qemu-img that qcow2c
 *   does not support
 */
export function formatOptions(draft: FormatDraft, format: ImageFormat, compress: boolean): FormatOptions {
  if (compress) refuseClashesWithCompression(draft);
  const { refused, preallocation, create, ...options } = draft;
  const [first] = refused;
  if (first !== undefined) {
    const [key, value] = first;
    throw new Qcow2cError('ERR_UNSUPPORTED', `Option '${key}=${value}' is not supported (${refusal(key)})`);
  }
  if (preallocation === undefined) return { ...options, create };
  const allocated = choice(PREALLOCATION[format], preallocation, 'preallocation');
  return { ...options, create: { ...create, preallocation: allocated } };
}
