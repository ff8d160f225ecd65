/**
 * Progress for programs: one JSON object per line on standard error. Fields may be added; none may change. For a stream
 * `guestBytes` is null, and `percent` is null until the end. `phase` is present only with --verify: `percent` counts
 * each phase as one half, the other fields describe the phase. Lines are skipped while the output's buffer is full.
 */
import type { Progress } from '../../workers/progress.js';
import { type ProgressDisplay, type StandardStream, shareOf } from './progress-display.js';

const NOTHING: Progress = { guestBytesDone: 0, guestBytes: undefined, dataBytes: 0, storedBytes: 0 };

export class JsonDisplay implements ProgressDisplay {
  readonly #stderr: StandardStream;
  readonly #now: () => number;
  #startTime = 0;
  #latest = NOTHING;

  constructor(stderr: StandardStream, now: () => number) {
    this.#stderr = stderr;
    this.#now = now;
  }

  start(): void {
    this.#startTime = this.#now();
  }

  update(progress: Progress): void {
    this.#latest = progress;
    // Unread lines must not fill memory. The last state is always printed.
    if (!this.#stderr.writableNeedDrain) this.#print('running');
  }

  end(success: boolean): void {
    this.#print(success ? 'done' : 'failed');
  }

  #print(state: 'running' | 'done' | 'failed'): void {
    const { phase, guestBytesDone, guestBytes, dataBytes, storedBytes, ratio } = this.#latest;
    const share = state === 'done' ? 1 : shareOf(this.#latest);
    const percent = share === undefined ? null : Math.floor(share * 10_000) / 100;
    const seconds = Math.round(this.#now() - this.#startTime) / 1000;
    const counts = {
      guestBytesDone,
      guestBytes: guestBytes ?? null,
      dataBytes,
      storedBytes: storedBytes ?? null,
      ...(ratio === undefined ? {} : { ratio }),
    };
    const line = { state, ...(phase === undefined ? {} : { phase }), percent, ...counts, seconds };
    this.#stderr.write(`${JSON.stringify(line)}\n`);
  }
}
