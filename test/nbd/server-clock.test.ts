/** What counts as silence of a server: the time in which this process watched it, not that in which it did not run. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ServerClock } from '../../src/nbd/server-clock.js';

const silent = expect.objectContaining({ kind: 'silent' });
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Waits in steps, as both kinds of connection do. */
function watch(clock: ServerClock, milliseconds: number): void {
  for (let left = milliseconds; left > 0; left -= 100) {
    vi.advanceTimersByTime(Math.min(100, left));
    clock.check();
  }
}

test('a server that sends nothing is silent after the time limit', () => {
  const clock = new ServerClock(1000);
  watch(clock, 900);
  clock.heard();
  watch(clock, 900);
  expect(() => watch(clock, 100)).toThrow(silent);
});

test('a process that was stopped for longer than the limit waits on', () => {
  const clock = new ServerClock(1000);
  watch(clock, 500);
  vi.advanceTimersByTime(3_600_000);
  clock.check();
  watch(clock, 200);
  expect(() => watch(clock, 100)).toThrow(silent);
});

test('bytes without a whole answer end after ten times the limit, and time without this process does not count', () => {
  const clock = new ServerClock(1000);
  const send = (steps: number) => {
    for (let step = 0; step < steps; step += 1) {
      clock.heard();
      watch(clock, 100);
    }
  };
  send(50);
  vi.advanceTimersByTime(3_600_000);
  send(47);
  expect(() => send(1)).toThrow(expect.objectContaining({ kind: 'broken' }));
  clock.answered();
  clock.heard();
  clock.check();
});
