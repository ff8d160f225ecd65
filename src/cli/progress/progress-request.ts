/**
 * Answers SIGUSR1 (and SIGINFO, where the terminal sends it) with one line of progress on standard error, with
 * or without -p, as qemu-img does. Without a listener Node.js would open its debugger on SIGUSR1.
 */
import type { EventEmitter } from 'node:events';
import type { Progress } from '../../workers/progress.js';
import { writeNotice } from './notice.js';
import { type StandardStream, shareOf } from './progress-display.js';
import { percentage } from './progress-qemu.js';

const ASKING = ['SIGUSR1', 'SIGINFO'] as const;

export class ProgressRequest {
  readonly #process: EventEmitter;
  readonly #stderr: StandardStream;
  #asked = false;

  /** @param process emits signals under their names */
  constructor(process: EventEmitter, stderr: StandardStream) {
    this.#process = process;
    this.#stderr = stderr;
    for (const name of ASKING) process.on(name, this.#onSignal);
  }

  /** Answers when the next piece is done, at most some hundredths of a second later. */
  update(progress: Progress): void {
    if (!this.#asked) return;
    this.#asked = false;
    const share = shareOf(progress);
    const state = share === undefined ? `${progress.guestBytesDone} bytes` : `${percentage(share)}/100%`;
    void writeNotice(this.#stderr, `    (${state})\n`);
  }

  release(): void {
    for (const name of ASKING) this.#process.off(name, this.#onSignal);
  }

  readonly #onSignal = (): void => {
    this.#asked = true;
  };
}
