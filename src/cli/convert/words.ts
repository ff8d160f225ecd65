/** The options of `convert` as typed, by the last of their names (see its table). */
import type { ConvertOptions } from '../../convert/options.js';
import type { NbdWords } from '../options/nbd-options.js';
import type { WorkerBudgetWords } from '../options/worker-budget-options.js';
import type { ProgressStyle } from '../progress/progress-display.js';

export interface ConvertWords extends WorkerBudgetWords, NbdWords {
  readonly sourceFormat?: string;
  readonly sourceImageOpts?: boolean;
  readonly sourceCache?: string;
  readonly snapshot?: string;
  readonly bitmap?: string;
  readonly compareWithBacking?: boolean;
  readonly bitmaps?: boolean;
  readonly skipBrokenBitmaps?: boolean;
  readonly salvage?: boolean;
  readonly isolated?: boolean;
  readonly forceShare?: boolean;
  readonly targetFormat?: string;
  readonly targetImageOpts?: boolean;
  readonly targetFormatOptions?: readonly string[];
  readonly targetCache?: string;
  readonly backing?: string;
  readonly backingFormat?: string;
  readonly minSize?: string;
  readonly sparseSize?: string;
  /** False with -n. */
  readonly create?: boolean;
  readonly targetIsZero?: boolean;
  readonly rateLimit?: string;
  readonly verify?: boolean;
  readonly digest?: boolean;
  readonly spool?: string;
  readonly sha256?: boolean;
  readonly output?: 'human' | 'json';
  readonly compress?: boolean;
  readonly recompress?: boolean;
  readonly copyRangeOffloading?: boolean;
  readonly engine?: NonNullable<ConvertOptions['engine']> | 'auto';
  readonly fast?: boolean;
  readonly checkPayloads?: boolean;
  readonly compressedCacheSize?: string;
  readonly object?: string;
  /** -p */
  readonly p?: boolean;
  readonly progress?: ProgressStyle;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}
