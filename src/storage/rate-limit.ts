/**
 * Limits the bytes written per second by delaying writes. Several files may share one limit. It is a leaky bucket like
 * QEMU's throttling of a target (util/throttle.c).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { abortedError } from '../errors.js';

/** Unused milliseconds that later writes may use up, because timers are late. As in QEMU. */
const BURST = 100;
/** Longest wait of a timer in Node.js, in milliseconds. A longer one would end at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** The clock, in milliseconds; replaced by tests. */
export interface Clock {
  now(): number;
  /** @throws if the signal aborts first */
  sleep(milliseconds: number, signal: AbortSignal): Promise<unknown>;
}

const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  sleep: (milliseconds, signal) => sleep(milliseconds, undefined, { signal }),
};

export class RateLimit {
  readonly #millisecondsPerByte: number;
  readonly #clock: Clock;
  /** The time at which all admitted bytes are paid for. */
  #paidAt: number;

  /** @param bytesPerSecond above 0 */
  constructor(bytesPerSecond: number, clock: Clock = SYSTEM_CLOCK) {
    this.#millisecondsPerByte = 1000 / bytesPerSecond;
    this.#clock = clock;
    this.#paidAt = clock.now();
  }

  /**
   * Resolves when `bytes` may be written: once all bytes admitted before are paid for. So a write of any size may start
   * at once, and the next write waits for it.
   * @param signal cancels the wait at once
   * @throws Qcow2cError ERR_ABORTED if the signal aborts
   */
  async admit(bytes: number, signal: AbortSignal): Promise<void> {
    const at = Math.max(this.#paidAt, this.#clock.now() - BURST);
    this.#paidAt = at + bytes * this.#millisecondsPerByte;
    for (;;) {
      if (signal.aborted) throw abortedError(signal.reason);
      const left = at - this.#clock.now();
      if (left <= 0) return;
      // If the signal ended the sleep, the check above throws.
      await this.#clock.sleep(Math.min(Math.ceil(left), LONGEST_TIMER), signal).catch(() => {});
    }
  }
}
