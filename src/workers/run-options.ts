/** The options that the commands share. */
import type { NbdOptions } from '../nbd/connection-options.js';
import type { Progress } from './progress.js';
import type { WorkerBudgetOptions } from './worker-budget.js';

/** The options of every command that reads images. */
export interface CallOptions {
  /** Called with one sentence for each warning; the call continues. Must not throw. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** How NBD exports are opened. */
  readonly nbd?: NbdOptions | undefined;
  /** Aborts the call, which rejects with ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/** The options of a command that works through a disk in threads. */
export interface RunOptions extends CallOptions, WorkerBudgetOptions {
  /** Called after each part of the work, at most 2 MiB of the disk; must not throw. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /**
   * Whether `onProgress` needs `share`, for which the work is planned a second time. Called before each item until it
   * returns true; until then `share` is undefined. Must not throw. Default: always true.
   */
  readonly wantsShare?: (() => boolean) | undefined;
}
