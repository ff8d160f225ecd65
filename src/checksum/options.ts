/** The options and the result of `checksum`. */
import type { ConvertOptions } from '../convert/options.js';
import type { Image, ImageFormat, StreamReference } from '../image/image-reference.js';
import type { CacheMode } from '../storage/cache-mode.js';
import type { RunOptions } from '../workers/run-options.js';

/** The options that name a source, as in a conversion. */
type AsInConvert = Pick<ConvertOptions, 'sourceFormat' | 'snapshot' | 'isolated' | 'forceShare'>;

export interface ChecksumOptions extends AsInConvert, RunOptions {
  /** The disk: an image, or a raw disk from a stream. */
  readonly source: Image | StreamReference;
  /** How the image is read; default: writeback (through the page cache). */
  readonly cache?: CacheMode | undefined;
}

export interface ChecksumResult {
  /** The digest of the virtual disk in hexadecimal, as `blksum` prints it. */
  readonly digest: string;
  /** Of the virtual disk, in bytes. */
  readonly virtualSize: number;
  /** As given or probed. */
  readonly format: ImageFormat;
}
