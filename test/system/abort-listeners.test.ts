/**
 * Any number of conversions may share a signal: it has one listener while at least one listens, and none afterwards.
 */
import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { onAbort } from '../../src/system/abort-listeners.js';

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

test('each callback is called once, and the signal has one listener until then', () => {
  const controller = new AbortController();
  const called: number[] = [];
  for (let index = 0; index < 20; index += 1) onAbort(controller.signal, () => called.push(index));
  expect(listeners(controller.signal)).toBe(1);
  controller.abort();
  controller.abort();
  expect(called).toEqual(Array.from({ length: 20 }, (_, index) => index));
  expect(listeners(controller.signal)).toBe(0);
});

test('the same function may be added twice, and each is removed by itself', () => {
  const controller = new AbortController();
  let calls = 0;
  const count = () => {
    calls += 1;
  };
  const stop = onAbort(controller.signal, count);
  onAbort(controller.signal, count);
  stop();
  stop();
  expect(listeners(controller.signal)).toBe(1);
  controller.abort();
  expect(calls).toBe(1);
});

test('the listener is removed with the last callback and added again with the next', () => {
  const { signal } = new AbortController();
  for (const _ of [1, 2]) {
    const stops = [onAbort(signal, () => {}), onAbort(signal, () => {})];
    expect(listeners(signal)).toBe(1);
    for (const stop of stops) stop();
    expect(listeners(signal)).toBe(0);
  }
});
