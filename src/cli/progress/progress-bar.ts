/**
 * Progress as a bar on a terminal: percent, guest megabytes a second, compression ratio and the time left; for a
 * stream, megabytes so far and the elapsed time. cli-progress redraws it and hides and restores the cursor; the text is
 * made here.
 */
import cliProgress from 'cli-progress';
import type { Progress } from '../../workers/progress.js';
import { barLine } from './progress-bar-line.js';
import { type ProgressDisplay, type StandardStream, shareOf } from './progress-display.js';

export class BarDisplay implements ProgressDisplay {
  readonly #now: () => number;
  readonly #bar: cliProgress.SingleBar;
  #startTime = 0;
  #updateTime = 0;
  #progress: Progress = { guestBytesDone: 0, guestBytes: 0, dataBytes: 0, storedBytes: 0 };
  #finished = false;

  constructor(stderr: StandardStream, now: () => number) {
    this.#now = now;
    this.#bar = new cliProgress.SingleBar({
      stream: stderr,
      hideCursor: true,
      // Lines are cut to the terminal's width instead, so no wrap mode has to be restored.
      linewrap: true,
      // main.ts handles signals; a listener here would restore the cursor too early.
      gracefulExit: false,
      format: (_options, params) => this.#line((params as { maxWidth?: number }).maxWidth ?? 80),
    });
  }

  start(): void {
    this.#startTime = this.#updateTime = this.#now();
    this.#bar.start(1, 0);
  }

  update(progress: Progress): void {
    this.#progress = progress;
    this.#updateTime = this.#now();
    this.#bar.update(shareOf(progress) ?? 0);
  }

  end(success: boolean): void {
    this.#finished = success;
    this.#bar.stop();
  }

  #line(columns: number): string {
    const elapsed = this.#updateTime - this.#startTime;
    const waited = this.#now() - this.#updateTime;
    return barLine({ progress: this.#progress, elapsed, waited, finished: this.#finished }, columns);
  }
}
