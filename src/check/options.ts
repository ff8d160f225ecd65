/** What the check of an image is asked for and what comes of it: the options and the result of `check`. */
import type { ImageFormat, ImageReference } from '../image/image-reference.js';
import type { Progress } from '../workers/progress.js';
import type { CheckTotals, Finding } from './findings.js';
import type { RepairMode } from './repair.js';

export interface CheckOptions {
  /** Backing and data files that it names, or that are named here, are not opened. */
  readonly image: ImageReference;
  /** Read past the page cache (O_DIRECT) where the file system can. */
  readonly direct?: boolean | undefined;
  /** Inflate every compressed cluster too, of the image and of its snapshots. */
  readonly data?: boolean | undefined;
  /** Repair it in place first, as far as that can be done without a guess; then check it. */
  readonly repair?: RepairMode | undefined;
  /** Worker threads for the data at most. Default: one for each processor that this process may use. */
  readonly threads?: number | undefined;
  /** As in ConvertOptions. With less, what is found in a large file may be told in another order. */
  readonly memory?: number | undefined;
  /** Told about everything that is wrong, in turn. @param words qemu-img's line or lines for it */
  readonly onFinding?: ((finding: Finding, words: string) => void | Promise<void>) | undefined;
  /** Told before the refcount table and all refcount blocks are made anew. */
  readonly onRebuild?: (() => void) | undefined;
  /** Told what is strange about the image without being wrong. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Called with growing values, in guest bytes. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The totals include what is wrong with the data. */
export interface CheckResult extends CheckTotals {
  readonly format: ImageFormat;
  /** With `data`: compressed clusters that were inflated and those of them that are broken. */
  readonly data: { readonly examined: number; readonly broken: number } | undefined;
  /** With `repair`: what was repaired; the rest of the result is what is left. */
  readonly repaired: { readonly leaksFixed: number; readonly corruptionsFixed: number } | undefined;
}
