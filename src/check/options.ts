/** The options and the result of `check`. */

import { quoted, usageError } from '../errors.js';
import { type Image, type ImageFormat, imageReference } from '../image/image-reference.js';
import type { RunOptions } from '../workers/run-options.js';
import type { CheckTotals, Finding } from './findings.js';
import type { RepairMode } from './repair.js';

/** `threads` is for `data`. With less `memory`, findings in a large file may come in another order. */
export interface CheckOptions extends RunOptions {
  /** Backing and data files named in the image, or here, are not opened. */
  readonly image: Image;
  /** Read without the page cache (O_DIRECT) where the file system supports it. */
  readonly direct?: boolean | undefined;
  /** Also inflate every compressed cluster of the image and its snapshots. */
  readonly data?: boolean | undefined;
  /** First repair the image in place, as far as this needs no guess; then check it. */
  readonly repair?: RepairMode | undefined;
  /** Called for every finding in turn. @param words qemu-img's line or lines for it */
  readonly onFinding?: ((finding: Finding, words: string) => void | Promise<void>) | undefined;
  /** Called before the refcount table and all refcount blocks are replaced. */
  readonly onRebuild?: (() => void) | undefined;
}

/** The totals include findings in the data. */
export interface CheckResult extends CheckTotals {
  readonly format: ImageFormat;
  /** With `data`: compressed clusters inflated, and broken ones among them. */
  readonly data: { readonly examined: number; readonly broken: number } | undefined;
  /** With `repair`: the repairs that were made; the other results describe the image after them. */
  readonly repaired: { readonly leaksFixed: number; readonly corruptionsFixed: number } | undefined;
}

/** @throws Qcow2cError ERR_USAGE for options that exclude each other */
export function validateCheck({ image, repair }: CheckOptions): void {
  const { file, forceShare } = imageReference(image);
  if (repair === undefined || forceShare !== true) return;
  throw usageError(`Could not open ${quoted(file)}: force-share=on can only be used with read-only images`);
}
