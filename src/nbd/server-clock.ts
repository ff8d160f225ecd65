import { NbdFailure } from './nbd-failure.js';

/** How much longer than the time limit for silence an answer may take while the server sends bytes. */
const MOST_TIMEOUTS = 10;

/**
 * The most milliseconds between two calls that count: waits are of 100 ms. What is beyond is no silence of the server,
 * but a time in which this process did not run: it was stopped, or the machine was busy.
 */
const MOST_STEP = 200;

/** The time limits of a wait for a server. */
export class ServerClock {
  readonly #timeoutMs: number;
  readonly #mostWorkMs: number;
  #workMs = 0;
  #calledAt = performance.now();
  /** Milliseconds for which this process has watched the server. */
  #watchedMs = 0;
  #heardAt = 0;
  #answeredAt = 0;

  /**
   * @param timeoutMs milliseconds of silence after which a server counts as lost
   * @param mostWorkMs milliseconds that handling its bytes may take
   */
  constructor(timeoutMs: number, mostWorkMs = Number.POSITIVE_INFINITY) {
    this.#timeoutMs = timeoutMs;
    this.#mostWorkMs = mostWorkMs;
  }

  /** The server has sent bytes, or taken some. @param workMs milliseconds that handling them took */
  heard(workMs = 0): void {
    this.#heardAt = this.#advance();
    this.#workMs += workMs;
  }

  /** The server has answered a request. */
  answered(): void {
    this.#answeredAt = this.#advance();
  }

  /** @throws NbdFailure if the server has sent nothing for too long, or bytes without end and no answer */
  check(): void {
    const now = this.#advance();
    const limit = MOST_TIMEOUTS * this.#timeoutMs;
    const reason = { code: 'ETIMEDOUT' };
    if (now - this.#heardAt >= this.#timeoutMs) {
      const words = `the server has sent nothing for ${seconds(this.#timeoutMs)} (--nbd-timeout)`;
      throw new NbdFailure('silent', words, reason);
    }
    if (this.#workMs >= this.#mostWorkMs) {
      throw new NbdFailure('broken', 'the server sends a handshake without end');
    }
    if (now - this.#answeredAt >= limit) {
      const words = `the server has sent bytes for ${seconds(limit)}, but no whole answer (--nbd-timeout)`;
      throw new NbdFailure('broken', words, reason);
    }
  }

  #advance(): number {
    const now = performance.now();
    this.#watchedMs += Math.min(now - this.#calledAt, MOST_STEP);
    this.#calledAt = now;
    return this.#watchedMs;
  }
}

function seconds(milliseconds: number): string {
  const count = milliseconds / 1000;
  return `${count} second${count === 1 ? '' : 's'}`;
}
