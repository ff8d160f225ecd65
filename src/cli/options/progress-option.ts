/** Reads -p, --progress and -q: the style of a command's progress. */
import type { ProgressStyle } from '../progress/progress-display.js';

interface ProgressWords {
  /** -p */
  readonly p?: boolean;
  readonly progress?: ProgressStyle;
  readonly quiet?: boolean;
}

export function progressStyle({
  p = false,
  progress = p ? 'auto' : 'none',
  quiet = false,
}: ProgressWords): ProgressStyle {
  return quiet ? 'none' : progress;
}
