/** What can be measured, and what comes of it, as the library takes and gives it. */
import type { ConvertOptions } from '../convert/options.js';
import { usageError } from '../errors.js';
import type { Image, StreamReference } from '../image/image-reference.js';

/** What a measurement with compression has in common with the conversion it stands for. */
type AsInConvert = Pick<
  ConvertOptions,
  | 'sourceFormat'
  | 'snapshot'
  | 'isolated'
  | 'targetFormat'
  | 'create'
  | 'compressionLevel'
  | 'compressionWindowBits'
  | 'engine'
  | 'checkPayloads'
  | 'threads'
  | 'memory'
  | 'onWarning'
  | 'onProgress'
  | 'signal'
>;

/**
 * `targetFormat` is raw by default, as in qemu-img, and qcow2 with `compress`. A relative backing file in `create`
 * is looked for from the working directory; without `compress` it is not looked for at all.
 */
export interface MeasureOptions extends AsInConvert {
  /** The image whose content counts, a file's name standing for the file. A stream only with `compress`. */
  readonly source?: Image | StreamReference | undefined;
  /** Instead of a source: bytes of a disk without content, at most 2^62; rounded up to 512. */
  readonly size?: number | undefined;
  /** Find the exact size of the compressed image, by compressing. Default: false, as qemu-img, which cannot. */
  readonly compress?: boolean | undefined;
  /** With `compress`: percent of the data that is compressed, above 0; the rest is estimated. Default: 100. */
  readonly sample?: number | undefined;
}

/** How sure an estimate is. */
export interface Estimate {
  /** Bytes: with 95 % confidence the exact size is no farther than that from the estimate. 0: it is exact. */
  readonly margin: number;
  /** Percent. */
  readonly confidence: number;
  /** Guest bytes that were compressed for it, and all that there are. */
  readonly sampledBytes: number;
  readonly dataBytes: number;
}

/** In bytes; multiples of 512, which are exact up to 2^62. */
export interface Measurement {
  /** What the new image's file takes: at most, as QEMU computes it; with `compress` exactly, or as estimated. */
  readonly required: number;
  /** The same once every byte of the disk has been written to, without compression. */
  readonly fullyAllocated: number;
  /** What copies of the source's bitmaps take besides; undefined where source or target cannot have any. */
  readonly bitmaps: number | undefined;
  /** Whether `required` was found by compressing. */
  readonly compressed: boolean;
  /** With `sample` only. */
  readonly estimate: Estimate | undefined;
}

/** The largest size of a disk without content, in bytes: up to there every multiple of 512 is a number of its own. */
export const LARGEST_SIZE = 2 ** 62;

/** Whether the size of a raw image is asked for. */
export function isRaw({
  compress = false,
  targetFormat = compress ? 'qcow2' : 'raw',
}: Pick<MeasureOptions, 'compress' | 'targetFormat'>): boolean {
  return targetFormat === 'raw';
}

/**
 * @throws Qcow2cError ERR_USAGE for options that exclude or need each other, in the words of qemu-img where it refuses
 *   them too (img_measure in qemu-img.c)
 */
export function validateMeasurement(options: MeasureOptions): void {
  const { source, size, snapshot, compress = false, sample } = options;
  if (source === undefined && snapshot !== undefined) {
    throw usageError('--image-opts, -f, and -l require a filename argument.');
  }
  if (source === undefined && size === undefined) {
    throw usageError('Either --size N or one filename must be specified.');
  }
  if (source !== undefined && size !== undefined) {
    throw usageError('--size N cannot be used together with a filename.');
  }
  if (sample !== undefined && !compress) throw usageError('--sample requires -c');
  if (compress && isRaw(options)) throw usageError('Compression not supported for this file format');
  if (compress && source === undefined) {
    throw usageError('-c requires a filename argument: --size has nothing to compress');
  }
}
