/**
 * Estimates which share of a run's time has passed. Bytes of the disk are no measure of it: holes take no time, and a
 * byte to compress takes more than one to inflate. So the items are planned a second time, ahead of the run and in
 * small steps between its items, only to be weighed. Until that is complete, the estimate assumes that the rest of the
 * disk is like its start.
 */
import type { PlannedItem } from './plan.js';
import type { RunOptions } from './run-options.js';

/** Milliseconds of counting before the first item, and before each later one. */
const FIRST_STEP = 40;
const LATER_STEP = 3;

/** The start of a worker thread and its first items, which run before their code is compiled. As `ItemWork`. */
const THREAD_START = 90e6;
/** The same for the main thread. */
const MAIN_START = 50e6;

/** The weights of an item: estimated nanoseconds of a processor. Only their proportions matter. */
export interface ItemWork {
  readonly now: number;
  /** In later phases of the command, such as the verification of a target. */
  readonly later: number;
}

type Place = Pick<PlannedItem, 'guestOffset' | 'length'>;

export interface WorkAheadParts<Item extends Place> {
  /** A second plan of the items, which needs no slot; undefined: they are not known before. */
  readonly items: ((slot: number) => Promise<Item | undefined>) | undefined;
  weigh(item: Item): ItemWork;
  /** The number of threads that are started. */
  readonly threads: number;
  /** Of the disk, in bytes; undefined: not known. */
  readonly size: number | undefined;
}

/** @returns undefined without `onProgress`: nothing is planned ahead then */
export function workAhead<Item extends Place>(
  { onProgress, wantsShare }: Pick<RunOptions, 'onProgress' | 'wantsShare'>,
  parts: WorkAheadParts<Item>,
): WorkAhead<Item> | undefined {
  return onProgress && new WorkAhead(parts, wantsShare);
}

export class WorkAhead<Item extends Place> {
  readonly #items: WorkAheadParts<Item>['items'];
  readonly #weigh: WorkAheadParts<Item>['weigh'];
  readonly #size: number | undefined;
  readonly #start: number;
  readonly #done = { now: 0, later: 0, end: 0 };
  readonly #counted = { now: 0, later: 0, end: 0 };
  /** Whether the share is wanted; undefined from then on. */
  #isWanted: (() => boolean) | undefined;
  #isCounting: boolean;
  #isComplete = false;
  #isFinished = false;
  #isFirst = true;

  /** @param isWanted see RunOptions.wantsShare */
  constructor({ items, weigh, size, threads }: WorkAheadParts<Item>, isWanted?: () => boolean) {
    this.#isWanted = items && isWanted;
    this.#items = items;
    this.#weigh = weigh;
    this.#size = size;
    this.#start = MAIN_START + threads * THREAD_START;
    this.#isCounting = items !== undefined;
  }

  /** Counts some of the items. Call it before each item of the run is planned, never at the same time. */
  async advance(): Promise<void> {
    if (!this.#isCounting) return;
    if (this.#isWanted?.() === false) return;
    this.#isWanted = undefined;
    const until = performance.now() + (this.#isFirst ? FIRST_STEP : LATER_STEP);
    this.#isFirst = false;
    try {
      do {
        const item = await this.#items?.(0);
        if (item === undefined) {
          this.#isCounting = false;
          this.#isComplete = true;
        } else {
          add(this.#counted, item, this.#weigh(item));
        }
      } while (this.#isCounting && performance.now() < until);
    } catch {
      // The run meets the same error, and reports it.
      this.#isCounting = false;
    }
  }

  /** @param item that is done; items are done in guest order */
  add(item: Item): void {
    add(this.#done, item, this.#weigh(item));
  }

  /** Ends the run: the items that are done are all. */
  finish(): void {
    Object.assign(this.#counted, this.#done);
    this.#isCounting = false;
    this.#isComplete = true;
    this.#isFinished = true;
  }

  /**
   * The share of the run's own work that is done, from 0 to 1. undefined: it is not wanted yet, or the size of the disk
   * is not known.
   */
  get share(): number | undefined {
    if (this.#isFinished) return 1;
    if (this.#isWanted !== undefined) return undefined;
    const whole = this.#whole('now');
    if (whole === undefined) return undefined;
    const { now, end } = this.#done;
    return end === 0 ? 0 : Math.min(1, (this.#start + now) / (this.#start + whole));
  }

  /** The part that this run takes of itself and the later phases, from 0 to 1. */
  get ownPart(): number {
    const now = this.#start + (this.#whole('now') ?? 0);
    return now / (now + (this.#whole('later') ?? 0));
  }

  #whole(which: keyof ItemWork): number | undefined {
    if (this.#isComplete) return this.#counted[which];
    const known = this.#counted.end > this.#done.end ? this.#counted : this.#done;
    if (this.#size === undefined) return undefined;
    return known.end === 0 ? 0 : (known[which] * this.#size) / Math.min(known.end, this.#size);
  }
}

function add(sum: { now: number; later: number; end: number }, item: Place, { now, later }: ItemWork): void {
  sum.now += now;
  sum.later += later;
  sum.end = item.guestOffset + item.length;
}
