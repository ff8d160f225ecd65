/**
 * Progress for programs: one JSON object per line on standard error, at most one in an interval, and one at the end with
 * the result. Fields may be added; none may change. `percent` is null for a stream until the end, and so is `guestBytes`.
 * `phase` is present only in commands with several phases: `percent` counts all of them, the other fields describe the
 * phase. Lines are skipped while the output's buffer is full.
 */
import type { Progress } from '../../workers/progress.js';
import { type ProgressDisplay, type StandardStream, shareOf } from './progress-display.js';

const NOTHING: Progress = { guestBytesDone: 0, guestBytes: undefined, dataBytes: 0, storedBytes: 0 };

/** Seconds between two lines. */
const INTERVAL = 1;

export class JsonDisplay implements ProgressDisplay {
  readonly #stderr: StandardStream;
  readonly #now: () => number;
  readonly #interval: number;
  #timer: NodeJS.Timeout | undefined;
  #startTime = 0;
  #latest: Progress | undefined;

  /** @param seconds between two lines */
  constructor(stderr: StandardStream, now: () => number, seconds = INTERVAL) {
    this.#stderr = stderr;
    this.#now = now;
    this.#interval = seconds * 1000;
  }

  start(): void {
    this.#startTime = this.#now();
    this.#timer = setInterval(() => this.#printRunning(), this.#interval);
    this.#timer.unref();
  }

  update(progress: Progress): void {
    const isFirst = this.#latest === undefined;
    this.#latest = progress;
    if (isFirst) this.#printRunning();
  }

  end(success: boolean, result?: object): void {
    clearInterval(this.#timer);
    this.#print(success ? 'done' : 'failed', result);
  }

  #printRunning(): void {
    // Unread lines must not fill memory. The last state is always printed.
    if (this.#latest !== undefined && !this.#stderr.writableNeedDrain) this.#print('running');
  }

  #print(state: 'running' | 'done' | 'failed', result?: object): void {
    const latest = this.#latest ?? NOTHING;
    const { phase, guestBytesDone, guestBytes, dataBytes, storedBytes, ratio } = latest;
    const share = state === 'done' ? 1 : shareOf(latest);
    const percent = share === undefined ? null : Math.floor(share * 10_000) / 100;
    const seconds = Math.round(this.#now() - this.#startTime) / 1000;
    const counts = {
      guestBytesDone,
      guestBytes: guestBytes ?? null,
      dataBytes,
      storedBytes: storedBytes ?? null,
      ...(ratio === undefined ? {} : { ratio }),
    };
    const line = { state, ...(phase && { phase }), percent, ...counts, seconds, ...(result && { result }) };
    // The result holds names, which must not drive a terminal.
    const text = JSON.stringify(line).replace(/[\x7f-\uffff]/g, (character) => {
      return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
    });
    this.#stderr.write(`${text}\n`);
  }
}
