/**
 * Answers SIGUSR1 (and SIGINFO, where the terminal sends it) with one line of progress on standard error, with
 * or without -p, as qemu-img does. Without a listener Node.js would open its debugger on SIGUSR1.
 */
import type { EventEmitter } from 'node:events';
import type { Progress } from '../../workers/progress.js';
import { writeNotice } from './notice.js';
import { type StandardStream, shareOf } from './progress-display.js';
import { qemuPercentage } from './progress-qemu.js';

const ASKING = ['SIGUSR1', 'SIGINFO'] as const;

export class ProgressRequest {
  readonly #process: EventEmitter;
  readonly #stderr: StandardStream;
  #asked = false;
  #wasEverAsked = false;
  /** Whether the run asks if the share is wanted, and plans its work only then. */
  #plansOnRequest = false;
  #hasWaited = false;

  /** @param process emits signals under their names */
  constructor(process: EventEmitter, stderr: StandardStream) {
    this.#process = process;
    this.#stderr = stderr;
    for (const name of ASKING) process.on(name, this.#onSignal);
  }

  /** For `RunOptions.wantsShare`: the work is planned ahead from the first signal on. */
  wantsShare(): boolean {
    this.#plansOnRequest = true;
    return this.#wasEverAsked;
  }

  /** Answers when the next piece is done, or the one after it: at most some hundredths of a second later. */
  update(progress: Progress): void {
    if (!this.#asked || this.#waitsForPlan(progress)) return;
    this.#asked = false;
    const share = shareOf(progress);
    const state = share === undefined ? `${progress.guestBytesDone} bytes` : `${qemuPercentage(share)}/100%`;
    void writeNotice(this.#stderr, `    (${state})\n`);
  }

  /** The plan begins before the next piece: the first answer waits for that one. */
  #waitsForPlan({ share, guestBytesDone, guestBytes }: Progress): boolean {
    const isLast = guestBytesDone === guestBytes;
    if (share !== undefined || isLast || !this.#plansOnRequest || this.#hasWaited) return false;
    this.#hasWaited = true;
    return true;
  }

  release(): void {
    for (const name of ASKING) this.#process.off(name, this.#onSignal);
  }

  readonly #onSignal = (): void => {
    this.#asked = true;
    this.#wasEverAsked = true;
  };
}
