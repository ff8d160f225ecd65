/** The rate limit on a clock that the test moves. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Clock, RateLimit } from '../../src/storage/rate-limit.js';
import { stateOf } from './promise-state.js';

const MIB = 1024 * 1024;
const open = new AbortController().signal;

/** A clock whose sleepers wake as soon as it has been moved far enough. */
class FakeClock implements Clock {
  #time = 5000;
  readonly asked: number[] = [];
  #sleepers: { readonly until: number; readonly wake: () => void }[] = [];

  now(): number {
    return this.#time;
  }

  sleep(milliseconds: number, signal: AbortSignal): Promise<unknown> {
    this.asked.push(milliseconds);
    return new Promise<void>((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      signal.addEventListener('abort', onAbort);
      const wake = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      this.#sleepers.push({ until: this.#time + milliseconds, wake });
    });
  }

  moveTo(time: number): void {
    this.#time = Math.max(this.#time, time);
    const woken = this.#sleepers.filter(({ until }) => until <= this.#time);
    this.#sleepers = this.#sleepers.filter(({ until }) => until > this.#time);
    for (const { wake } of woken) wake();
  }

  /** Moves on to each sleeper's end until the promise is settled. */
  async runUntil(promise: Promise<unknown>): Promise<void> {
    while ((await stateOf(promise)) === 'waiting') {
      this.moveTo(Math.min(...this.#sleepers.map(({ until }) => until)));
    }
  }
}

describe('a rate limit', () => {
  test('admits the first write at once, and delays the next until it is paid for', async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(MIB, clock);
    expect(await stateOf(limit.admit(3 * MIB, open))).toBe('resolved');
    const second = limit.admit(1, open);
    clock.moveTo(7999);
    expect(await stateOf(second)).toBe('waiting');
    clock.moveTo(8000);
    expect(await stateOf(second)).toBe('resolved');
  });

  test('takes as long as the bytes take at that rate, for any number of writers', async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(10 * MIB, clock);
    const writer = async () => {
      for (let write = 0; write < 50; write += 1) await limit.admit(MIB, open);
    };
    await clock.runUntil(Promise.all([writer(), writer()]));
    expect(clock.now()).toBe(5000 + 9900);
  });

  test('admits writes in order', async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(1000, clock);
    const order: number[] = [];
    const writes = [700, 1, 300, 50].map((bytes, index) =>
      limit.admit(bytes, open).then(() => order.push(index)),
    );
    await clock.runUntil(Promise.all(writes));
    expect(order).toEqual([0, 1, 2, 3]);
  });

  test('catches up with late timers, but not with more than a tenth of a second', async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(1000, clock);
    await limit.admit(10, open);
    clock.moveTo(5060);
    await limit.admit(50, open);
    expect(await stateOf(limit.admit(1, open))).toBe('resolved');
    // Idle for an hour: only 100 ms of it, 100 bytes, may be used later.
    clock.moveTo(3_600_000);
    await limit.admit(100, open);
    await limit.admit(1, open);
    expect(await stateOf(limit.admit(1, open))).toBe('waiting');
  });

  test('the average from the start is never above the rate, with one write ahead', async () => {
    const step = fc.record({ bytes: fc.integer({ min: 1, max: 4 * MIB }), idle: fc.nat(3000) });
    const steps = fc.array(step, { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 100 * MIB }), async (writes, rate) => {
        const clock = new FakeClock();
        const limit = new RateLimit(rate, clock);
        let before = 0;
        for (const { bytes, idle } of writes) {
          clock.moveTo(clock.now() + idle);
          await clock.runUntil(limit.admit(bytes, open));
          expect(before).toBeLessThanOrEqual(((clock.now() - 5000) / 1000) * rate * (1 + 1e-9));
          before += bytes;
        }
      }),
      { numRuns: 50 },
    );
  });

  test('never sets a timer longer than the maximum', async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(1, clock);
    await limit.admit(2 ** 33, open);
    const second = limit.admit(1, open);
    await clock.runUntil(second);
    expect(clock.asked.length).toBeGreaterThan(1);
    expect(Math.max(...clock.asked)).toBeLessThan(2 ** 31);
    expect(clock.now()).toBe(5000 + 2 ** 33 * 1000);
  });

  test('ends a wait at once when the signal aborts, and refuses all later writes', async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(1, clock);
    const ending = new AbortController();
    await limit.admit(MIB, ending.signal);
    const waiting = limit.admit(1, ending.signal);
    expect(await stateOf(waiting)).toBe('waiting');
    ending.abort(new Error('why'));
    const error = { code: 'ERR_ABORTED', cause: new Error('why') };
    await expect(waiting).rejects.toMatchObject(error);
    await expect(limit.admit(1, ending.signal)).rejects.toMatchObject(error);
  });

  test('uses the real clock by default', async () => {
    const limit = new RateLimit(100_000);
    await limit.admit(500, open);
    await limit.admit(2 ** 40, open);
    const ending = new AbortController();
    const waiting = limit.admit(1, ending.signal);
    expect(await stateOf(waiting)).toBe('waiting');
    ending.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });
});
