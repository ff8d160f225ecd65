/**
 * Progress as a bar on a terminal: percent, guest megabytes a second, compression ratio and the time left; for a
 * stream, megabytes so far and the elapsed time. cli-progress redraws it and hides and restores the cursor; the text is
 * made here.
 */
import cliProgress from 'cli-progress';
import type { Progress } from '../../workers/progress.js';
import { type ProgressDisplay, type StandardStream, shareOf } from './progress-display.js';

/** A shorter bar shows less than the number beside it. */
const SHORTEST_BAR = 8;
const LONGEST_BAR = 50;

/** The content of a line. Times in milliseconds. */
export interface BarState {
  readonly progress: Progress;
  /** From the start to the moment `progress` was reported. */
  readonly elapsed: number;
  /** From that moment until now. */
  readonly waited: number;
  readonly finished: boolean;
}

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

/**
 * The line for a terminal of `columns` characters, at least one shorter than that. Parts that do not fit are omitted:
 * the bar first, then the numbers from the right.
 */
export function barLine({ progress, elapsed, waited, finished }: BarState, columns: number): string {
  const { guestBytesDone, guestBytes, dataBytes, ratio } = progress;
  const share = guestBytes === undefined ? undefined : finished ? 1 : shareOf(progress);
  const position =
    share === undefined
      ? `${(guestBytesDone / 1e6).toFixed(0).padStart(6)} MB`
      : `${(Math.floor(share * 1000) / 10).toFixed(1).padStart(5)}%`;
  const figures = [
    `${speed(dataBytes, elapsed)} MB/s`,
    ...(ratio === undefined ? [] : [`ratio ${ratio.toFixed(3)}`]),
    share === undefined || finished
      ? `in ${duration(elapsed + waited)}`
      : `ETA ${timeLeft(share, elapsed, waited)}`,
  ];
  const room = columns - 1;
  const barLength = Math.min(LONGEST_BAR, room - [position, ...figures].join('  ').length - '  []'.length);
  if (share !== undefined && barLength >= SHORTEST_BAR) {
    const full = Math.floor(share * barLength);
    const bar = `[${'='.repeat(full)}${'-'.repeat(barLength - full)}]`;
    return [position, bar, ...figures].join('  ');
  }
  let line = position;
  for (const figure of figures) {
    if (line.length + figure.length + 2 <= room) line += `  ${figure}`;
  }
  return line.slice(0, Math.max(0, room));
}

/** Guest bytes of data a second in megabytes, right-aligned so that the line does not jump. */
function speed(bytes: number, milliseconds: number): string {
  const value = milliseconds === 0 ? '-' : (bytes / 1000 / milliseconds).toFixed(0);
  return value.padStart(4);
}

function timeLeft(share: number, elapsed: number, waited: number): string {
  return share === 0 ? '-' : duration(Math.max(0, (elapsed * (1 - share)) / share - waited));
}

function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (value: number) => String(value).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
