/** The options and the ranges of `mapImage`. */

import type { Image } from '../image/image-reference.js';
import type { CallOptions } from '../workers/run-options.js';

export interface MapOptions extends CallOptions {
  readonly image: Image;
  /** The first byte of the disk to map. Default: 0. */
  readonly startOffset?: number | undefined;
  /** The number of bytes to map from there. Default: up to the end of the disk. */
  readonly maxLength?: number | undefined;
  /** Refuse every file that an image names; default: false. */
  readonly isolated?: boolean | undefined;
}

/** A range of the disk that is stored in one way. The fields and their rules are those of `qemu-img map`. */
export interface MapRange {
  /** Bytes. */
  readonly start: number;
  readonly length: number;
  /** The image of the chain that defines the range: 0 is the topmost. */
  readonly depth: number;
  /** Whether that image defines the range; false: a backing file below it could. */
  readonly present: boolean;
  /** Reads as zeros. With `data`: space is allocated, but no data was written. */
  readonly zero: boolean;
  /** Bytes are stored. */
  readonly data: boolean;
  readonly compressed: boolean;
  /** The position of the first byte in `file`, in bytes, if it is stored uncompressed. */
  readonly offset: number | undefined;
  /** The name of the file that `offset` belongs to. */
  readonly file: string | undefined;
}
