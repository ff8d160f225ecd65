/** The options and the result of `measure`. */
import { noRawCompression, refuseWithoutCompression } from '../convert/compression-options.js';
import type { ConvertOptions } from '../convert/options.js';
import { usageError } from '../errors.js';
import type { Image, StreamReference } from '../image/image-reference.js';
import type { RunOptions } from '../workers/run-options.js';

/** The options that a measurement shares with the conversion. */
type AsInConvert = Pick<
  ConvertOptions,
  | 'sourceFormat'
  | 'snapshot'
  | 'isolated'
  | 'targetFormat'
  | 'create'
  | 'bitmap'
  | 'compareWithBacking'
  | 'compressionLevel'
  | 'compressionWindowBits'
  | 'engine'
  | 'checkPayloads'
>;

/**
 * `targetFormat` is raw by default, as in qemu-img, and qcow2 with `compress`. A relative backing file in `create`
 * starts at the working directory; without `compress` it is not opened.
 */
export interface MeasureOptions extends AsInConvert, RunOptions {
  /** The image to measure: a reference or a file name. A stream requires `compress`. */
  readonly source?: Image | StreamReference | undefined;
  /** Instead of a source: bytes of an empty disk, at most 2^62; rounded up to 512. */
  readonly size?: number | undefined;
  /** Compute the exact size of the compressed image, by compressing; not in qemu-img. Default: false. */
  readonly compress?: boolean | undefined;
  /** With `compress`: percentage of the data to compress, above 0; the rest is estimated. Default: 100. */
  readonly sample?: number | undefined;
}

/** The accuracy of an estimate. */
export interface Estimate {
  /** Bytes: the exact size differs from the estimate by at most this, with 95 % confidence. 0: it is exact. */
  readonly margin: number;
  /** Percent. */
  readonly confidence: number;
  /** Guest bytes that were compressed for the estimate, and guest bytes in total. */
  readonly sampledBytes: number;
  readonly dataBytes: number;
}

/** In bytes; multiples of 512, which are exact up to 2^62. */
export interface Measurement {
  /** The size of the new file: an upper bound, as in QEMU; with `compress` exact, or estimated. */
  readonly required: number;
  /** The size once every byte of the disk has been written, without compression. */
  readonly fullyAllocated: number;
  /** Additional bytes for copies of the source's bitmaps; undefined if source or target cannot have bitmaps. */
  readonly bitmaps: number | undefined;
  /** Whether `required` was computed by compressing. */
  readonly compressed: boolean;
  /** Only with `sample`. */
  readonly estimate: Estimate | undefined;
}

/** The maximum size of an empty disk, in bytes: up to it a double represents every multiple of 512 exactly. */
export const LARGEST_SIZE = 2 ** 62;

/** Reports whether the target format is raw. */
export function isRaw({
  compress = false,
  targetFormat = compress ? 'qcow2' : 'raw',
}: Pick<MeasureOptions, 'compress' | 'targetFormat'>): boolean {
  return targetFormat === 'raw';
}

/** The options that are known so far. Whether the source has a format is enough. */
type KnownOptions = Omit<MeasureOptions, 'sourceFormat'> & { readonly sourceFormat?: unknown };

/**
 * Checks options that are complete, or that the command line has read so far.
 * @throws Qcow2cError ERR_USAGE for options that exclude or require each other, with the message of qemu-img if it
 *   refuses them too (img_measure in qemu-img.c)
 */
export function validateMeasurement(options: KnownOptions): void {
  const { source, sourceFormat, size, snapshot, compress = false } = options;
  if (source === undefined && (snapshot !== undefined || sourceFormat !== undefined)) {
    throw usageError('--image-opts, -f, and -l require a filename argument.');
  }
  if (source === undefined && size === undefined) {
    throw usageError('Either --size N or one filename must be specified.');
  }
  if (source !== undefined && size !== undefined) {
    throw usageError('--size N cannot be used together with a filename.');
  }
  const { sample, bitmap, compareWithBacking = false, engine } = options;
  refuseWithoutCompression(options, {
    '--sample': sample !== undefined,
    '--bitmap': bitmap !== undefined,
    '--compare-with-backing': compareWithBacking,
    [`--engine ${engine}`]: engine !== undefined,
  });
  if (compress && isRaw(options)) throw noRawCompression();
  if (compress && source === undefined) {
    throw usageError('-c requires a filename argument: --size has nothing to compress');
  }
}
