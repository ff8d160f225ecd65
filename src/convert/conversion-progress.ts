/** The progress of a conversion with everything that follows it, as one progress in proportion to time. */
import { HASH, readingWork, rereadingWork, type StoringSetup, storingWork } from '../workers/item-work.js';
import type { PlannedItem } from '../workers/plan.js';
import type { Progress } from '../workers/progress.js';
import { type ItemWork, type WorkAhead, type WorkAheadParts, workAhead } from '../workers/work-ahead.js';
import type { ConvertOptions } from './options.js';

type ProgressOptions = Pick<ConvertOptions, 'verify' | 'digest' | 'sha256' | 'onProgress' | 'wantsShare'>;

/** The phases after the conversion, in their order. Each has the name of the option that asks for it. */
const LATER = ['digest', 'sha256', 'verify'] as const;
type LaterPhase = (typeof LATER)[number];
/** The assumed length of a file over that of its data; the true one is known at the end. */
const LIKELY_RATIO = 0.5;

interface WeighedRun extends Omit<WorkAheadParts<PlannedItem>, 'weigh'> {
  readonly storing: StoringSetup;
  /** Whether the blocks of the disk are hashed. */
  readonly digests: boolean;
  /** The phases that will follow. */
  readonly later: readonly LaterPhase[];
}

export class ConversionProgress {
  readonly #onProgress: ProgressOptions['onProgress'];
  readonly #options: ProgressOptions;
  #work: WorkAhead<PlannedItem> | undefined;
  #share = 0;
  #last: Progress = { guestBytesDone: 0, guestBytes: 0, dataBytes: 0, storedBytes: 0 };
  /** The sums of the later phases' weights, over the items so far. */
  readonly #weights = new Map<LaterPhase, number>();

  constructor(options: ProgressOptions) {
    this.#onProgress = options.onProgress;
    this.#options = options;
  }

  /** As `workAhead`. */
  weigh({ storing, digests, later, ...run }: WeighedRun): WorkAhead<PlannedItem> | undefined {
    const weigh = (item: PlannedItem): ItemWork => {
      const { segments, backing = [], changed, length } = item;
      const read = readingWork(item, digests ? HASH : 0);
      const below = readingWork({ segments: backing, length });
      const reread = rereadingWork(item, storing);
      const bytes = segments.reduce((sum, segment) => sum + segment.length, 0);
      const weights: Record<LaterPhase, number> = {
        digest: reread + bytes * HASH,
        // One thread reads the file.
        sha256: bytes * LIKELY_RATIO * HASH * run.threads,
        verify: readingWork({ segments, length }) + reread,
      };
      for (const phase of later) {
        this.#weights.set(phase, (this.#weights.get(phase) ?? 0) + weights[phase]);
      }
      return {
        now: read + below + storingWork(item, storing, changed),
        later: later.reduce((sum, phase) => sum + weights[phase], 0),
      };
    };
    this.#work = workAhead(this.#options, { ...run, weigh });
    return this.#work;
  }

  /** Takes a report of the conversion itself. */
  convert(progress: Progress): void {
    this.#last = progress;
    const { share } = progress;
    this.#onProgress?.({
      ...progress,
      ...(share !== undefined && { share: this.#upTo(share * this.#ownPart) }),
      ...(this.#options.verify && { phase: 'convert' as const }),
    });
  }

  /** @returns a callback for the reports of a later phase; undefined without `onProgress` */
  later(phase: LaterPhase): ((progress: Pick<Progress, 'share'> & Partial<Progress>) => void) | undefined {
    if (this.#onProgress === undefined) return undefined;
    const { guestBytes, dataBytes, storedBytes, ratio } = this.#last;
    const sum = (phases: readonly LaterPhase[]) =>
      phases.reduce((total, each) => total + (this.#weights.get(each) ?? 0), 0);
    const all = Math.max(1, sum(LATER));
    const from = sum(LATER.slice(0, LATER.indexOf(phase))) / all;
    const part = (this.#weights.get(phase) ?? 0) / all;
    return ({ share = 0, guestBytesDone = this.#last.guestBytesDone, guestBytes: size = guestBytes }) => {
      this.#onProgress?.({
        share: this.#upTo(this.#ownPart + (1 - this.#ownPart) * (from + share * part)),
        ...{ guestBytesDone, guestBytes: size, dataBytes, storedBytes },
        ...(ratio !== undefined && { ratio }),
        phase: phase === 'verify' ? 'verify' : 'digest',
      });
    };
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
