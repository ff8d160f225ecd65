/** Takes the options of each function of the library: which there are, and which values they can have by themselves. */
import type { CheckOptions } from '../check/options.js';
import type { ChecksumOptions } from '../checksum/options.js';
import type { CompareOptions } from '../compare/options.js';
import { COMPRESSION_TYPES } from '../compression-type.js';
import type { ConvertOptions } from '../convert/options.js';
import { ENGINE_NAMES } from '../engines/codec.js';
import { IMAGE_FORMATS } from '../image/image-reference.js';
import type { ImageInfoOptions } from '../info/image-info.js';
import type { MapOptions } from '../map/options.js';
import { LARGEST_SIZE, type MeasureOptions } from '../measure/options.js';
import { MOST_NBD_RETRIES, MOST_NBD_TIMEOUT, type NbdOptions } from '../nbd/connection-options.js';
import { type CreateOptions, PREALLOCATIONS } from '../qcow2/create-options.js';
import { MAX_CLUSTER_BITS, MAX_REFCOUNT_ORDER, MIN_CLUSTER_BITS } from '../qcow2/geometry.js';
import type { SnapshotSelector } from '../qcow2/snapshot-table.js';
import { CACHE_MODES } from '../storage/cache-mode.js';
import type { RunOptions } from '../workers/run-options.js';
import { MOST_THREADS } from '../workers/worker-budget.js';
import { fileName, image, nameText, source, target } from './images.js';
import {
  abortSignal,
  arrayOf,
  callback,
  fields,
  flag,
  isPlain,
  oneOf,
  optional,
  type Taker,
  wholeNumber,
  wrongArgument,
} from './takers.js';

const format = oneOf(...IMAGE_FORMATS);
const cacheMode = oneOf(...CACHE_MODES);
const bytes = wholeNumber(0);

/** As `CallOptions`. */
const call = {
  onWarning: optional(callback<(message: string) => void>()),
  nbd: optional(
    fields<NbdOptions>({
      tlsCreds: optional(fileName),
      timeoutMs: optional(wholeNumber(1, MOST_NBD_TIMEOUT)),
      retries: optional(wholeNumber(0, MOST_NBD_RETRIES)),
      allowBacking: optional(flag),
    }),
  ),
  signal: optional(abortSignal),
};

/** As `RunOptions`. */
const run = {
  ...call,
  threads: optional(wholeNumber(1, MOST_THREADS)),
  memory: optional(wholeNumber(1)),
  onProgress: optional(callback<NonNullable<RunOptions['onProgress']>>()),
  wantsShare: optional(callback<NonNullable<RunOptions['wantsShare']>>()),
};

/** The options of a conversion and of its measurement. */
const conversion = {
  sourceFormat: optional(format),
  snapshot: optional(snapshotSelector),
  isolated: optional(flag),
  targetFormat: optional(format),
  create: optional(
    fields<CreateOptions>({
      clusterSize: optional(powerOfTwo(MIN_CLUSTER_BITS, MAX_CLUSTER_BITS)),
      compat: optional(oneOf(2, 3)),
      compressionType: optional(oneOf(...COMPRESSION_TYPES)),
      refcountBits: optional(powerOfTwo(0, MAX_REFCOUNT_ORDER)),
      lazyRefcounts: optional(flag),
      extendedL2: optional(flag),
      backingFile: optional(nameText),
      backingFormat: optional(format),
      dataFile: optional(nameText),
      dataFileRaw: optional(flag),
      preallocation: optional(oneOf(...PREALLOCATIONS)),
      size: optional(bytes),
    }),
  ),
  // Its range depends on the engine.
  compressionLevel: optional(wholeNumber(Number.MIN_SAFE_INTEGER)),
  compressionWindowBits: optional(oneOf(12, 15)),
  bitmap: optional(nameText),
  compareWithBacking: optional(flag),
  engine: optional(oneOf(...ENGINE_NAMES)),
  checkPayloads: optional(flag),
};

const takers = {
  convert: options<ConvertOptions>({
    ...run,
    ...conversion,
    sources: arrayOf(source),
    target,
    spool: optional(fileName),
    salvage: optional(flag),
    onUnreadable: optional(callback<NonNullable<ConvertOptions['onUnreadable']>>()),
    minSize: optional(bytes),
    overwrite: optional(oneOf('any', 'same format')),
    compress: optional(flag),
    recompress: optional(flag),
    bitmaps: optional(oneOf('all', 'skip-broken')),
    sparseSize: optional(bytes),
    targetCache: optional(cacheMode),
    forceShare: optional(flag),
    sourceCache: optional(cacheMode),
    compressedCacheSize: optional(bytes),
    keepTarget: optional(flag),
    targetIsZero: optional(flag),
    verify: optional(flag),
    digest: optional(flag),
    sha256: optional(flag),
    rateLimit: optional(wholeNumber(1)),
  }),
  check: options<CheckOptions>({
    ...run,
    image,
    direct: optional(flag),
    data: optional(flag),
    repair: optional(oneOf('leaks', 'all')),
    onFinding: optional(callback<NonNullable<CheckOptions['onFinding']>>()),
    onRebuild: optional(callback<NonNullable<CheckOptions['onRebuild']>>()),
  }),
  checksum: options<ChecksumOptions>({
    ...run,
    source,
    sourceFormat: optional(format),
    snapshot: optional(snapshotSelector),
    isolated: optional(flag),
    forceShare: optional(flag),
    cache: optional(cacheMode),
  }),
  compare: options<CompareOptions>({
    ...run,
    images: (value, argument) => {
      const [one, other, ...more] = arrayOf(image)(value, argument);
      if (one !== undefined && other !== undefined && more.length === 0) return [one, other];
      throw wrongArgument(argument, 'an array of two images', value);
    },
    strict: optional(flag),
    cache: optional(cacheMode),
  }),
  imageInfo: options<ImageInfoOptions>({
    ...run,
    image,
    backingChain: optional(flag),
    deep: optional(flag),
  }),
  mapImage: options<MapOptions>({
    ...call,
    image,
    startOffset: optional(bytes),
    maxLength: optional(bytes),
    isolated: optional(flag),
  }),
  measure: options<MeasureOptions>({
    ...run,
    ...conversion,
    source: optional(source),
    size: optional(wholeNumber(0, LARGEST_SIZE)),
    compress: optional(flag),
    sample: optional(percentage),
  }),
};

/**
 * Copies the options of a library function at the time of the call.
 * @throws Qcow2cError ERR_USAGE that names the argument
 */
export function takeOptions<Name extends keyof typeof takers>(
  name: Name,
  value: unknown,
): ReturnType<(typeof takers)[Name]> {
  return takers[name](value, 'options') as ReturnType<(typeof takers)[Name]>;
}

/** The only argument of a function: its properties are named without it. */
function options<Type extends object>(of: Parameters<typeof fields<Type>>[0]): Taker<Type> {
  return fields<Type>(of, (_, name) => name);
}

function percentage(value: unknown, argument: string): number {
  if (typeof value === 'number' && value > 0 && value <= 100) return value;
  throw wrongArgument(argument, 'a number above 0 and up to 100', value);
}

function powerOfTwo(lowest: number, highest: number): Taker<number> {
  const values = Array.from({ length: highest - lowest + 1 }, (_, index) => 2 ** (lowest + index));
  return (value, argument) => {
    if (typeof value === 'number' && values.includes(value)) return value;
    throw wrongArgument(argument, `a power of two from ${values[0]} to ${values.at(-1)}`, value);
  };
}

function snapshotSelector(value: unknown, argument: string): SnapshotSelector {
  const one = fields<{ idOrName: string }>({ idOrName: nameText });
  const parts = fields<{ id?: string | undefined; name?: string | undefined }>({
    id: optional(nameText),
    name: optional(nameText),
  });
  if (isPlain(value) && value['idOrName'] !== undefined) return one(value, argument);
  const selector = parts(value, argument);
  if (selector.id === undefined && selector.name === undefined) {
    throw wrongArgument(argument, 'an object with `idOrName`, `id` or `name`', value);
  }
  return selector;
}
