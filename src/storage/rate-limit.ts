/**
 * Spreads writes over time: at most so many bytes a second. One limit may serve several files, which then
 * share it. A leaky bucket like QEMU's throttling of a target (util/throttle.c), on bytes really written.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { abortedError } from '../errors.js';

/** What was not used may be caught up with for so long, in milliseconds: timers are late. As in QEMU. */
const BURST = 100;
/** Longest wait of a timer of Node.js in milliseconds; a longer one would end at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** The passing of time, in milliseconds; replaced by tests. */
export interface Clock {
  now(): number;
  /** @throws when the signal comes first */
  sleep(milliseconds: number, signal: AbortSignal): Promise<unknown>;
}

const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  sleep: (milliseconds, signal) => sleep(milliseconds, undefined, { signal }),
};

export class RateLimit {
  readonly #millisecondsPerByte: number;
  readonly #clock: Clock;
  /** When the bytes admitted so far are paid for. */
  #paidAt: number;

  /** @param bytesPerSecond above 0 */
  constructor(bytesPerSecond: number, clock: Clock = SYSTEM_CLOCK) {
    this.#millisecondsPerByte = 1000 / bytesPerSecond;
    this.#clock = clock;
    this.#paidAt = clock.now();
  }

  /**
   * Resolves when `bytes` may be written: when all that was admitted before is paid for. So a write of any
   * size may go ahead at once, and whoever comes next pays for it.
   * @param signal ends the wait at once
   * @throws Qcow2cError ERR_ABORTED for the signal
   */
  async admit(bytes: number, signal: AbortSignal): Promise<void> {
    const at = Math.max(this.#paidAt, this.#clock.now() - BURST);
    this.#paidAt = at + bytes * this.#millisecondsPerByte;
    for (;;) {
      if (signal.aborted) throw abortedError(signal.reason);
      const left = at - this.#clock.now();
      if (left <= 0) return;
      // A sleep that the signal ends is judged above.
      await this.#clock.sleep(Math.min(Math.ceil(left), LONGEST_TIMER), signal).catch(() => {});
    }
  }
}
