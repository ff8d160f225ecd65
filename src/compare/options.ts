/** The options and the result of `compare`. */

import type { Qcow2cError } from '../errors.js';
import type { Image } from '../image/image-reference.js';
import type { NbdOptions } from '../nbd/nbd-options.js';
import type { CacheMode } from '../storage/cache-mode.js';
import type { Decision } from '../workers/compare-items.js';
import type { Side } from '../workers/messages/comparison.js';
import type { Progress } from '../workers/progress.js';

export interface CompareOptions {
  /** The two images. The format of one that is given as a name is probed. */
  readonly images: readonly [Image, Image];
  /** Compare the sizes and the allocation of both images as well. Default: false. */
  readonly strict?: boolean | undefined;
  /** How the images are read; default: writeback (through the page cache). */
  readonly cache?: CacheMode | undefined;
  /** Maximum number of worker threads; default: the number of processors available to this process. */
  readonly threads?: number | undefined;
  /** As in ConvertOptions. */
  readonly memory?: number | undefined;
  /** How NBD exports are opened. */
  readonly nbd?: NbdOptions | undefined;
  /** Called with a warning, one sentence; must not throw. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Called after each work item (at most 2 MiB); must not throw. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborts the comparison, which rejects with ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
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
