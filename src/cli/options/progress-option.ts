/** The values of -p, --progress and -q: how a command shows its progress. */
import type { ProgressStyle } from '../progress/progress-display.js';

export interface ProgressWords {
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
