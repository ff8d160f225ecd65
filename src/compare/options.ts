/** What a comparison can be asked to do and what it answers, as the library takes and gives it. */
import type { Qcow2cError } from '../errors.js';
import type { Image } from '../image/image-reference.js';
import type { CacheMode } from '../storage/cache-mode.js';
import type { Decision } from '../workers/compare-items.js';
import type { Side } from '../workers/messages/comparison.js';
import type { Progress } from '../workers/progress.js';

export interface CompareOptions {
  /** The two images. The format of one that is given as a name is probed. */
  readonly images: readonly [Image, Image];
  /** Whether sizes and what is allocated must be the same too; default: false. */
  readonly strict?: boolean | undefined;
  /** How the images are read; default: writeback (through the page cache). */
  readonly cache?: CacheMode | undefined;
  /** Worker threads at most; default: as many as there are processors that this process may use. */
  readonly threads?: number | undefined;
  /** As in ConvertOptions. */
  readonly memory?: number | undefined;
  /** Called with a sentence that the user should know although there is a verdict; must not throw. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Called after each work item of up to 2 MiB; must not throw. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Ends the comparison: it rejects with ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * What decided, the first in the order of the guest's bytes: nothing before it is different or unknown. Offsets in
 * bytes of the virtual disk.
 */
export type Verdict =
  /** Every byte is the same; what one disk has beyond the other's end is zeros. */
  | { readonly kind: 'identical' }
  /** With `strict`: the disks have different sizes. */
  | { readonly kind: 'different-size' }
  /** With `strict`: one holds at `offset` what the other leaves out, or holds it in another way. */
  | { readonly kind: 'different-allocation'; readonly offset: number }
  /** A table of the image `side` does not tell what lies at `offset`. */
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
