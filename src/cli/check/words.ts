/** The options of `check` as typed, by the last of their names (see its table). */
import type { NbdWords } from '../options/nbd-options.js';
import type { WorkerBudgetWords } from '../options/worker-budget-options.js';
import type { ProgressStyle } from '../progress/progress-display.js';

export interface CheckWords extends WorkerBudgetWords, NbdWords {
  readonly format?: string;
  readonly imageOpts?: boolean;
  readonly repair?: 'leaks' | 'all';
  readonly data?: boolean;
  readonly output?: 'human' | 'json';
  readonly cache?: string;
  /** -p */
  readonly p?: boolean;
  readonly progress?: ProgressStyle;
  readonly quiet?: boolean;
  readonly forceShare?: boolean;
  readonly object?: string;
}
