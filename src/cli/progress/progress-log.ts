/** Progress for journals and logs: a plain line every few seconds on standard error, and one at the end. */
import type { Progress } from '../../workers/progress.js';
import { figuresOf } from './progress-bar-line.js';
import type { ProgressDisplay, StandardStream } from './progress-display.js';

/** Seconds between two lines: few lines for hours of work, and soon enough to see that it goes on. */
const INTERVAL = 10;

export class LogDisplay implements ProgressDisplay {
  readonly #stderr: StandardStream;
  readonly #now: () => number;
  readonly #interval: number;
  #timer: NodeJS.Timeout | undefined;
  #startTime = 0;
  #updateTime = 0;
  #progress: Progress | undefined;

  /** @param seconds between two lines */
  constructor(stderr: StandardStream, now: () => number, seconds = INTERVAL) {
    this.#stderr = stderr;
    this.#now = now;
    this.#interval = seconds * 1000;
  }

  start(): void {
    this.#startTime = this.#updateTime = this.#now();
    this.#timer = setInterval(() => this.#print(false), this.#interval);
    this.#timer.unref();
  }

  update(progress: Progress): void {
    this.#progress = progress;
    this.#updateTime = this.#now();
  }

  end(success: boolean): void {
    clearInterval(this.#timer);
    if (success) this.#print(true);
  }

  #print(finished: boolean): void {
    // Unread lines must not fill memory.
    if (this.#progress === undefined || this.#stderr.writableNeedDrain) return;
    const elapsed = this.#updateTime - this.#startTime;
    const waited = this.#now() - this.#updateTime;
    const { position, time, speed, ratio } = figuresOf({
      ...{ progress: this.#progress, elapsed, waited, finished },
    });
    const figures = [position, speed, ratio, time].filter((figure) => figure !== undefined);
    this.#stderr.write(`qcow2c: ${figures.map((figure) => figure.trim()).join(', ')}\n`);
  }
}
