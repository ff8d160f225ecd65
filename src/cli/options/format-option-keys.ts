/** The keys of -o for each format: their types, help and completions, and how a value is read. */
import { COMPRESSION_TYPES, type CompressionType } from '../../compression-type.js';
import { IMAGE_FORMATS, type ImageFormat } from '../../image/image-reference.js';
import type { CreateOptions } from '../../qcow2/create-options.js';
import { storedFile } from './file-names.js';
import { backingFormatOf } from './image-formats.js';
import { bool, choice, integer, size } from './option-values.js';

type Preallocation = NonNullable<CreateOptions['preallocation']>;

/** The values of the keys read so far; a later key replaces an earlier one. */
export interface FormatDraft {
  readonly create: { -readonly [K in keyof CreateOptions]: CreateOptions[K] };
  compressionLevel?: number;
  compressionWindowBits?: 12 | 15;
  /** As typed: with compression every value is refused; without compression the value is parsed. */
  preallocation?: string;
  /** Keys for features that qcow2c does not support, with their values. */
  readonly refused: Map<string, string>;
}

type ValueType = '<bool (on/off)>' | '<num>' | '<size>' | '<str>';

interface Key {
  readonly type: ValueType;
  /** The help text; undefined for keys that are always refused. */
  readonly help?: string;
  /** What a shell offers for the value. */
  readonly offers?: readonly string[];
  /** @throws Qcow2cError ERR_USAGE when the value is not of the key's type */
  readonly apply: (draft: FormatDraft, value: string, key: string) => void;
}

/** A key that is accepted when off, and requests an unsupported feature when on. */
const refusedWhenOn: Key = {
  type: '<bool (on/off)>',
  apply: ({ refused }, value, key) => {
    if (bool(value, key)) refused.set(key, value);
    else refused.delete(key);
  },
};

const refusedAlways: Key = { type: '<str>', apply: ({ refused }, value, key) => refused.set(key, value) };

/** The values of `preallocation`. */
export const PREALLOCATION: Readonly<Record<ImageFormat, Readonly<Record<string, Preallocation>>>> = {
  raw: { off: 'off', falloc: 'falloc', full: 'full' },
  qcow2: { off: 'off', metadata: 'metadata', falloc: 'falloc', full: 'full' },
};

function preallocation(format: ImageFormat): Key {
  return {
    type: '<str>',
    help: `Preallocation: ${Object.keys(PREALLOCATION[format]).join(', ')} (default: off)`,
    offers: Object.keys(PREALLOCATION[format]),
    apply: (draft, value) => {
      draft.preallocation = value;
    },
  };
}

/** Keys of the image's file, for every format. */
const FILE_KEYS: Readonly<Record<string, Key>> = {
  extent_size_hint: {
    type: '<size>',
    apply: ({ refused }, value, key) => {
      size(value, key);
      refused.set(key, value);
    },
  },
  nocow: refusedWhenOn,
  size: {
    type: '<size>',
    help: 'Size of a disk from standard input; otherwise ignored, as in qemu-img',
    apply: ({ create }, value, key) => {
      create.size = size(value, key);
    },
  },
};

const QCOW2_KEYS: Readonly<Record<string, Key>> = {
  backing_file: {
    type: '<str>',
    help: 'Store only clusters that differ from this image (same as -b)',
    apply: ({ create }, value) => {
      create.backingFile = storedFile(value);
    },
  },
  backing_fmt: {
    type: '<str>',
    help: 'Format of the backing file: raw or qcow2 (same as -F)',
    offers: IMAGE_FORMATS,
    apply: ({ create }, value) => {
      create.backingFormat = backingFormatOf(value);
    },
  },
  cluster_size: {
    type: '<size>',
    help: 'Cluster size, a power of two from 512 to 2M (default: 64k)',
    offers: ['512', '4k', '16k', '64k', '256k', '1M', '2M'],
    apply: ({ create }, value, key) => {
      create.clusterSize = size(value, key);
    },
  },
  compat: {
    type: '<str>',
    help: 'Format version: v2 (0.10) or v3 (1.1, the default)',
    offers: ['v2', 'v3'],
    apply: ({ create }, value, key) => {
      create.compat = choice<2 | 3>({ '0.10': 2, v2: 2, '1.1': 3, v3: 3 }, value, key);
    },
  },
  compression_level: {
    type: '<num>',
    help: 'Higher is smaller (with -c): zlib 1 to 9 (libdeflate: 12), zstd 1 to 19',
    apply: (draft, value, key) => {
      draft.compressionLevel = integer(value, key);
    },
  },
  compression_type: {
    type: '<str>',
    help: 'Compression type: zlib (the default) or zstd',
    offers: COMPRESSION_TYPES,
    apply: ({ create }, value, key) => {
      create.compressionType = choice<CompressionType>({ zlib: 'zlib', zstd: 'zstd' }, value, key);
    },
  },
  compression_window_bits: {
    type: '<num>',
    help: 'Deflate window (with -c): 15 (the default) or 12, as qemu-img uses',
    offers: ['12', '15'],
    apply: (draft, value, key) => {
      draft.compressionWindowBits = choice<12 | 15>({ 12: 12, 15: 15 }, String(integer(value, key)), key);
    },
  },
  data_file: {
    type: '<str>',
    help: 'Store data in this file and only tables in the image',
    apply: ({ create }, value) => {
      create.dataFile = storedFile(value);
    },
  },
  data_file_raw: {
    type: '<bool (on/off)>',
    help: 'Keep the data file readable as a raw disk',
    offers: ['on', 'off'],
    apply: ({ create }, value, key) => {
      create.dataFileRaw = bool(value, key);
    },
  },
  'encrypt.cipher-alg': refusedAlways,
  'encrypt.cipher-mode': refusedAlways,
  'encrypt.format': refusedAlways,
  'encrypt.hash-alg': refusedAlways,
  'encrypt.iter-time': refusedAlways,
  'encrypt.ivgen-alg': refusedAlways,
  'encrypt.ivgen-hash-alg': refusedAlways,
  'encrypt.key-secret': refusedAlways,
  encryption: refusedWhenOn,
  extended_l2: {
    type: '<bool (on/off)>',
    help: 'Divide each cluster into 32 subclusters',
    offers: ['on', 'off'],
    apply: ({ create }, value, key) => {
      create.extendedL2 = bool(value, key);
    },
  },
  lazy_refcounts: {
    type: '<bool (on/off)>',
    help: 'Let QEMU postpone refcount updates',
    offers: ['on', 'off'],
    apply: ({ create }, value, key) => {
      create.lazyRefcounts = bool(value, key);
    },
  },
  preallocation: preallocation('qcow2'),
  refcount_bits: {
    type: '<num>',
    help: 'Bits per refcount, a power of two from 1 to 64 (default: 16)',
    offers: ['1', '2', '4', '8', '16', '32', '64'],
    apply: ({ create }, value, key) => {
      create.refcountBits = integer(value, key);
    },
  },
};

const KEYS: Readonly<Record<ImageFormat, Readonly<Record<string, Key>>>> = {
  raw: { ...FILE_KEYS, preallocation: preallocation('raw') },
  qcow2: { ...FILE_KEYS, ...QCOW2_KEYS },
};

/** Reads the value of a key into the draft. @returns false if the format has no such key @throws as `Key.apply` */
export function applyFormatOption(
  draft: FormatDraft,
  key: string,
  value: string,
  format: ImageFormat,
): boolean {
  const known = hasFormatOption(key, format) ? KEYS[format][key] : undefined;
  known?.apply(draft, value, key);
  return known !== undefined;
}

/** Whether a format has a key, supported or not. */
export function hasFormatOption(key: string, format: ImageFormat): boolean {
  return Object.hasOwn(KEYS[format], key);
}

/** A key of -o, for documentation. */
interface FormatOptionKey {
  readonly key: string;
  readonly type: string;
  readonly help: string;
  /** What a shell offers for the value. */
  readonly offers: readonly string[];
}

/** The keys of a format, by name. */
export function formatOptionKeys(format: ImageFormat): readonly FormatOptionKey[] {
  return Object.entries(KEYS[format])
    .flatMap(([key, { type, help, offers = [] }]) =>
      help === undefined ? [] : [{ key, type, help, offers }],
    )
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** What `-o help` prints for a format: one line for each key, in the layout of qemu-img. */
export function formatOptionsHelp(format: ImageFormat): string {
  const lines = formatOptionKeys(format).map(
    ({ key, type, help }) => `  ${`${key}=${type}`.padEnd(22)} - ${help}\n`,
  );
  return `Supported ${format} options:\n${lines.join('')}`;
}

/** The completions for the lists of -o: the keys of qcow2, which include those of raw, each with its values. */
export const FORMAT_OPTION_OFFERS: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  formatOptionKeys('qcow2').map(({ key, offers }) => [key, offers]),
);
