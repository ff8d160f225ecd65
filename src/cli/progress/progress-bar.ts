/**
 * Progress as a bar on a terminal: percent, guest megabytes a second, compression ratio and the time left; for a
 * stream, megabytes so far and the elapsed time. cli-progress redraws it and hides and restores the cursor; the text is
 * made here.
 */
import cliProgress from 'cli-progress';
import type { Progress } from '../../workers/progress.js';
import { barLine } from './progress-bar-line.js';
import { type ProgressDisplay, type StandardStream, shareOf } from './progress-display.js';

/**
 * Variables of terminals that break a line in two when they become narrower. Others cut it off; there, clearing the rows
 * above would remove lines that are not the bar's.
 */
const REFLOWING = [
  ...['TMUX', 'VTE_VERSION', 'KITTY_WINDOW_ID', 'KONSOLE_VERSION', 'WEZTERM_PANE', 'ALACRITTY_WINDOW_ID'],
  ...['ITERM_SESSION_ID', 'WT_SESSION', 'TERM_PROGRAM'],
];

export class BarDisplay implements ProgressDisplay {
  readonly #now: () => number;
  readonly #bar: cliProgress.SingleBar;
  readonly #stderr: StandardStream;
  /** The characters of the last line that was drawn. */
  #drawn = 0;
  #startTime = 0;
  #updateTime = 0;
  #progress: Progress = { guestBytesDone: 0, guestBytes: 0, dataBytes: 0, storedBytes: 0 };
  #finished = false;

  constructor(stderr: StandardStream, now: () => number) {
    this.#now = now;
    this.#stderr = stderr;
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
    this.#clearBrokenLine(columns);
    const elapsed = this.#updateTime - this.#startTime;
    const waited = this.#now() - this.#updateTime;
    const line = barLine({ progress: this.#progress, elapsed, waited, finished: this.#finished }, columns);
    this.#drawn = line.length;
    return line;
  }

  /** After the terminal has become narrower: removes the rows that the last line was broken into. */
  #clearBrokenLine(columns: number): void {
    const rows = Math.ceil(this.#drawn / columns) - 1;
    if (rows <= 0 || REFLOWING.every((name) => process.env[name] === undefined)) return;
    this.#stderr.write(`\x1b[${rows}A\r\x1b[J`);
  }
}
