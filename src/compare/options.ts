/** The options and the result of `compare`. */

import type { Qcow2cError } from '../errors.js';
import type { Image } from '../image/image-reference.js';
import type { CacheMode } from '../storage/cache-mode.js';
import type { Decision } from '../workers/compare-items.js';
import type { Side } from '../workers/messages/comparison.js';
import type { RunOptions } from '../workers/run-options.js';

export interface CompareOptions extends RunOptions {
  /** The two images. The format of one that is given as a name is probed. */
  readonly images: readonly [Image, Image];
  /** Compare the sizes and the allocation of both images as well. Default: false. */
  readonly strict?: boolean | undefined;
  /** How the images are read; default: writeback (through the page cache). */
  readonly cache?: CacheMode | undefined;
}

/**
 * The first range that decides the verdict, in guest order: everything before it was read and is identical. Offsets in
 * bytes of the virtual disk.
 */
export type Verdict =
  /** Every byte is the same; the longer disk has only zeros after the end of the shorter one. */
  | { readonly kind: 'identical' }
  /** With `strict`: the disks have different sizes. */
  | { readonly kind: 'different-size' }
  /** With `strict`: the cluster at `offset` is allocated in one image only, or in different ways. */
  | { readonly kind: 'different-allocation'; readonly offset: number }
  /** A table of the image `side` is damaged, so that the allocation at `offset` is unknown. */
  | {
      readonly kind: 'unknown-allocation';
      readonly side: Side;
      readonly offset: number;
      readonly error: Qcow2cError;
    }
  | Decision;

export interface CompareResult {
  readonly verdict: Verdict;
  /** Of the two virtual disks, in bytes. */
  readonly sizes: readonly [number, number];
}
