/** A run ends soon after its signal, whatever it waits for. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { abortedError } from '../../src/errors.js';
import { CLEAN_UP_TIME, endPromptly } from '../../src/workers/prompt-abort.js';
import { stateOf } from '../storage/promise-state.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const forEver = () => new Promise<number>(() => {});

test('what the work returns or throws is passed on', async () => {
  const { signal } = new AbortController();
  await expect(endPromptly(signal, Promise.resolve(7))).resolves.toBe(7);
  await expect(endPromptly(undefined, Promise.resolve(7))).resolves.toBe(7);
  await expect(endPromptly(signal, Promise.reject(new Error('no')))).rejects.toThrow('no');
});

test('work that ends by itself after the signal is waited for', async () => {
  const controller = new AbortController();
  let clean = () => {};
  const work = new Promise<never>((_, reject) => {
    clean = () => reject(abortedError('its own'));
  });
  const abandon = vi.fn(async () => {});
  const ended = endPromptly(controller.signal, work, abandon);
  ended.catch(() => {});
  controller.abort();
  await vi.advanceTimersByTimeAsync(CLEAN_UP_TIME - 1);
  expect(await stateOf(ended)).toBe('waiting');
  clean();
  await expect(ended).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: 'its own' });
  expect(abandon).not.toHaveBeenCalled();
});

test.each(['before', 'while'])(
  'work that does not end is given up, when the signal comes %s it runs',
  async (when) => {
    const controller = new AbortController();
    if (when === 'before') controller.abort('enough');
    const abandon = vi.fn(async () => {});
    const ended = endPromptly(controller.signal, forEver(), abandon);
    ended.catch(() => {});
    await vi.advanceTimersByTimeAsync(10 * CLEAN_UP_TIME * (when === 'while' ? 1 : 0));
    expect(await stateOf(ended)).toBe('waiting');
    controller.abort('enough');
    await vi.advanceTimersByTimeAsync(CLEAN_UP_TIME);
    await expect(ended).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: 'enough' });
    expect(abandon).toHaveBeenCalledTimes(1);
  },
);

test('what becomes of given-up work is ignored', async () => {
  const controller = new AbortController();
  let fail = () => {};
  const work = new Promise<never>((_, reject) => {
    fail = () => reject(new Error('at last'));
  });
  const ended = endPromptly(controller.signal, work);
  ended.catch(() => {});
  controller.abort();
  await vi.advanceTimersByTimeAsync(CLEAN_UP_TIME);
  fail();
  await expect(ended).rejects.toMatchObject({ code: 'ERR_ABORTED' });
});
