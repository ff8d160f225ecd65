/**
 * The keys of -o: text in, the library's options out, and the list that `-o help` shows. What a value may be
 * beyond its type is the library's business; keys that qemu-img has and qcow2c has not yet are refused here.
 */
import type { CompressionType } from '../compression-type.js';
import type { ConvertOptions } from '../convert/options.js';
import { Qcow2cError, usageError } from '../errors.js';
import type { ImageFormat } from '../image/image-reference.js';
import { parseInteger, parseSize } from './numbers.js';
import type { OptionPair } from './option-list.js';

type CreateOptions = NonNullable<ConvertOptions['create']>;

/** What the lists of -o come to. */
export type FormatOptions = Pick<ConvertOptions, 'create' | 'compressionLevel' | 'compressionWindowBits'>;

/** What the keys read so far say; a later key replaces what an earlier one said. */
interface Draft {
  readonly create: { -readonly [K in keyof CreateOptions]: CreateOptions[K] };
  compressionLevel?: number;
  compressionWindowBits?: 12 | 15;
  /** Keys that ask for something qcow2c cannot do, with their values. */
  readonly refused: Map<string, string>;
}

type ValueType = '<bool (on/off)>' | '<num>' | '<size>' | '<str>';

interface Key {
  readonly type: ValueType;
  /** What -o help says; undefined for keys that are known only to be refused. */
  readonly help?: string;
  /** @throws Qcow2cError ERR_USAGE when the value is not of the key's type */
  readonly apply: (draft: Draft, value: string, key: string) => void;
}

function bool(value: string, key: string): boolean {
  if (['on', 'yes', 'true', 'y'].includes(value)) return true;
  if (['off', 'no', 'false', 'n'].includes(value)) return false;
  throw usageError(`Parameter '${key}' expects 'on' or 'off'`);
}

function integer(value: string, key: string): number {
  const number = parseInteger(value);
  if (number === 'malformed') throw usageError(`Parameter '${key}' expects a number`);
  if (number === 'too large') throw usageError(`Value '${value}' is too large for parameter '${key}'`);
  return number;
}

function size(value: string, key: string): number {
  const bytes = parseSize(value);
  if (bytes === 'malformed') {
    throw usageError(
      `Parameter '${key}' expects a non-negative number below 2^64 (optional suffixes: k, M, G, T, P and E)`,
    );
  }
  if (bytes === 'too large') throw usageError(`Value '${value}' is out of range for parameter '${key}'`);
  return Number(bytes);
}

function notAccepted(key: string, value: string, accepted: readonly string[]): Qcow2cError {
  return usageError(`Parameter '${key}' does not accept value '${value}' (accepted: ${accepted.join(', ')})`);
}

function oneOf<T>(choices: Readonly<Record<string, T>>, value: string, key: string): T {
  const choice = Object.hasOwn(choices, value) ? choices[value] : undefined;
  if (choice === undefined) throw notAccepted(key, value, Object.keys(choices));
  return choice;
}

/** A key that asks for nothing when it is off, and for what qcow2c cannot do when it is on. */
const refusedWhenOn: Key = {
  type: '<bool (on/off)>',
  apply: ({ refused }, value, key) => {
    if (bool(value, key)) refused.set(key, value);
    else refused.delete(key);
  },
};

const refusedAlways: Key = { type: '<str>', apply: ({ refused }, value, key) => refused.set(key, value) };

const KEYS: Readonly<Record<string, Key>> = {
  backing_file: refusedAlways,
  backing_fmt: refusedAlways,
  cluster_size: {
    type: '<size>',
    help: 'Power of two from 512 to 2M (default: 64k)',
    apply: ({ create }, value, key) => {
      create.clusterSize = size(value, key);
    },
  },
  compat: {
    type: '<str>',
    help: 'Version of the format: v2 (0.10) or v3 (1.1, the default)',
    apply: ({ create }, value, key) => {
      create.compat = oneOf<2 | 3>({ '0.10': 2, v2: 2, '1.1': 3, v3: 3 }, value, key);
    },
  },
  compression_level: {
    type: '<num>',
    help: 'Higher is smaller and slower; the engine has the range',
    apply: (draft, value, key) => {
      draft.compressionLevel = integer(value, key);
    },
  },
  compression_type: {
    type: '<str>',
    help: 'zlib (the default) or zstd',
    apply: ({ create }, value, key) => {
      create.compressionType = oneOf<CompressionType>({ zlib: 'zlib', zstd: 'zstd' }, value, key);
    },
  },
  compression_window_bits: {
    type: '<num>',
    help: '15 (the default) or 12, the window of qemu-img',
    apply: (draft, value, key) => {
      draft.compressionWindowBits = oneOf<12 | 15>({ 12: 12, 15: 15 }, String(integer(value, key)), key);
    },
  },
  data_file: refusedAlways,
  data_file_raw: refusedWhenOn,
  'encrypt.cipher-alg': refusedAlways,
  'encrypt.cipher-mode': refusedAlways,
  'encrypt.format': refusedAlways,
  'encrypt.hash-alg': refusedAlways,
  'encrypt.iter-time': refusedAlways,
  'encrypt.ivgen-alg': refusedAlways,
  'encrypt.ivgen-hash-alg': refusedAlways,
  'encrypt.key-secret': refusedAlways,
  encryption: refusedWhenOn,
  extended_l2: refusedWhenOn,
  extent_size_hint: refusedAlways,
  lazy_refcounts: {
    type: '<bool (on/off)>',
    help: 'Let later writers postpone refcount updates',
    apply: ({ create }, value, key) => {
      create.lazyRefcounts = bool(value, key);
    },
  },
  nocow: refusedWhenOn,
  preallocation: {
    type: '<str>',
    help: 'off (the default)',
    apply: ({ refused }, value, key) => {
      if (value === 'off') refused.delete(key);
      else refused.set(key, value);
    },
  },
  refcount_bits: {
    type: '<num>',
    help: 'Power of two from 1 to 64 (default: 16)',
    apply: ({ create }, value, key) => {
      create.refcountBits = integer(value, key);
    },
  },
  size: {
    type: '<size>',
    help: 'Ignored, as in qemu-img: the sources have the size',
    apply: (_draft, value, key) => {
      size(value, key);
    },
  },
};

/** What can never go with compression, in the order in which qemu-img looks for it. */
const NEVER_COMPRESSED = [
  ['encryption', /^encrypt/],
  ['preallocation', /^preallocation$/],
  ['data_file', /^data_file/],
] as const;

/** The error for keys that ask for what cannot be had: qemu-img's reason when it is the compression. */
function refusal(refused: ReadonlyMap<string, string>, compress: boolean): Qcow2cError | undefined {
  const keys = [...refused.keys()];
  const clash = NEVER_COMPRESSED.find(([, pattern]) => keys.some((key) => pattern.test(key)));
  if (compress && clash !== undefined) {
    return usageError(`Compression and ${clash[0]} not supported at the same time`);
  }
  const [first] = refused;
  if (first === undefined) return undefined;
  const [key, value] = first;
  if (key === 'preallocation' && !['metadata', 'falloc', 'full'].includes(value)) {
    return notAccepted(key, value, ['off']);
  }
  return new Qcow2cError('ERR_UNSUPPORTED', `Option '${key}=${value}' is not supported yet`);
}

/**
 * The library's options for the pairs of all -o lists, in their order: the later of two equal keys wins.
 * @param compress whether clusters are to be compressed, which rules some keys out for good
 * @throws Qcow2cError ERR_USAGE for unknown keys and values of the wrong type; ERR_UNSUPPORTED for keys of
 *   qemu-img that qcow2c has not
 */
export function readFormatOptions(pairs: readonly OptionPair[], compress: boolean): FormatOptions {
  const draft: Draft = { create: {}, refused: new Map() };
  for (const { key, value } of pairs) {
    const known = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
    if (known === undefined) throw usageError(`Invalid parameter '${key}'`);
    known.apply(draft, value, key);
  }
  const { refused, ...options } = draft;
  const error = refusal(refused, compress);
  if (error !== undefined) throw error;
  return options;
}

/** The keys that a raw image has: one, and it is ignored. */
const RAW_KEYS: readonly string[] = ['size'];

/** What `-o help` prints for a format: one line a key, laid out as qemu-img does. */
export function formatOptionsHelp(format: ImageFormat): string {
  const lines = Object.entries(KEYS)
    .filter(([key, { help }]) => help !== undefined && (format === 'qcow2' || RAW_KEYS.includes(key)))
    .map(([key, { type, help }]) => `  ${`${key}=${type}`.padEnd(22)} - ${help}\n`);
  return `Supported ${format} options:\n${lines.join('')}`;
}
