/** A run ends soon after its signal, even while it waits for the system. */
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

test('the result or error of the work is passed on', async () => {
  const { signal } = new AbortController();
  await expect(endPromptly(signal, async () => 7)).resolves.toBe(7);
  await expect(endPromptly(undefined, async () => 7)).resolves.toBe(7);
  await expect(endPromptly(signal, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
});

test('work that ends soon after the signal is waited for', async () => {
  const controller = new AbortController();
  let clean = () => {};
  const work = new Promise<never>((_, reject) => {
    // As a part of the run does that sees its file closed, and does not know why.
    clean = () => reject(abortedError(undefined));
  });
  const abandon = vi.fn(async () => {});
  const ended = endPromptly(controller.signal, () => work, abandon);
  ended.catch(() => {});
  controller.abort('enough');
  await vi.advanceTimersByTimeAsync(CLEAN_UP_TIME - 1);
  expect(await stateOf(ended)).toBe('waiting');
  clean();
  await expect(ended).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: 'enough' });
  expect(abandon).not.toHaveBeenCalled();
});

test('work is not started after the signal', async () => {
  const work = vi.fn(forEver);
  await expect(endPromptly(AbortSignal.abort('enough'), work)).rejects.toMatchObject({
    name: 'AbortError',
    code: 'ERR_ABORTED',
    cause: 'enough',
  });
  expect(work).not.toHaveBeenCalled();
});

test('work that does not end is abandoned', async () => {
  const controller = new AbortController();
  const abandon = vi.fn(async () => {});
  const ended = endPromptly(controller.signal, forEver, abandon);
  ended.catch(() => {});
  await vi.advanceTimersByTimeAsync(10 * CLEAN_UP_TIME);
  expect(await stateOf(ended)).toBe('waiting');
  controller.abort('enough');
  await vi.advanceTimersByTimeAsync(CLEAN_UP_TIME);
  await expect(ended).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: 'enough' });
  expect(abandon).toHaveBeenCalledTimes(1);
});

test('the outcome of abandoned work is ignored', async () => {
  const controller = new AbortController();
  let fail = () => {};
  const work = new Promise<never>((_, reject) => {
    fail = () => reject(new Error('at last'));
  });
  const ended = endPromptly(controller.signal, () => work);
  ended.catch(() => {});
  controller.abort();
  await vi.advanceTimersByTimeAsync(CLEAN_UP_TIME);
  fail();
  await expect(ended).rejects.toMatchObject({ code: 'ERR_ABORTED' });
});
