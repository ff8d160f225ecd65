/** The progress of a conversion with everything that follows it, as one progress in proportion to time. */
import { HASH, readingWork, rereadingWork, type StoringSetup, storingWork } from '../workers/item-work.js';
import type { PlannedItem } from '../workers/plan.js';
import type { Progress } from '../workers/progress.js';
import { type ItemWork, WorkAhead, type WorkAheadParts } from '../workers/work-ahead.js';
import type { ConvertOptions } from './options.js';

type ProgressOptions = Pick<ConvertOptions, 'verify' | 'onProgress'>;

interface WeighedRun {
  readonly storing: StoringSetup;
  /** Whether the blocks of the disk are hashed. */
  readonly digests: boolean;
  /** A second plan of the items; undefined: a stream. */
  readonly items: WorkAheadParts<PlannedItem>['items'];
  readonly threads: number;
  /** Of the disk, in bytes; undefined: not known. */
  readonly size: number | undefined;
}

export class ConversionProgress {
  readonly #options: ProgressOptions;
  /** Called with each report; undefined: nobody is interested. */
  readonly onConvert: ((progress: Progress) => void) | undefined;
  readonly onVerify: ((progress: Progress) => void) | undefined;
  #share = 0;
  #work: WorkAhead<PlannedItem> | undefined;
  #last: Pick<Progress, 'dataBytes' | 'storedBytes' | 'ratio'> = { dataBytes: 0, storedBytes: 0 };

  constructor(options: ProgressOptions) {
    this.#options = options;
    const { onProgress, verify } = options;
    if (onProgress === undefined) return;
    this.onConvert = (progress) => {
      this.#last = progress;
      const { share } = progress;
      onProgress({
        ...progress,
        ...(share !== undefined && { share: this.#upTo(share * this.#ownPart) }),
        ...(verify && { phase: 'convert' as const }),
      });
    };
    this.onVerify = ({ guestBytesDone, guestBytes, share = 0 }) => {
      const { dataBytes, storedBytes, ratio } = this.#last;
      onProgress({
        share: this.#upTo(this.#ownPart + share * (1 - this.#ownPart)),
        ...{ guestBytesDone, guestBytes, dataBytes, storedBytes },
        ...(ratio !== undefined && { ratio }),
        phase: 'verify',
      });
    };
  }

  /** @returns what weighs the items; undefined: nobody is interested */
  weigh({ storing, digests, ...run }: WeighedRun): WorkAhead<PlannedItem> | undefined {
    if (this.#options.onProgress === undefined) return undefined;
    const { verify } = this.#options;
    const weigh = (item: PlannedItem): ItemWork => {
      const { segments, backing = [], changed, length } = item;
      const read = readingWork(item, digests ? HASH : 0);
      const below = readingWork({ segments: backing, length });
      return {
        now: read + below + storingWork(item, storing, changed),
        later: verify ? readingWork({ segments, length }) + rereadingWork(item, storing) : 0,
      };
    };
    this.#work = new WorkAhead({ ...run, weigh });
    return this.#work;
  }

  /** The weight of the later phases becomes known on the way. */
  #upTo(share: number): number {
    this.#share = Math.max(this.#share, share);
    return this.#share;
  }

  get #ownPart(): number {
    return this.#work?.ownPart ?? 1;
  }
}
