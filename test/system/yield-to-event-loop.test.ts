import { expect, test } from 'vitest';
import { yieldToEventLoop } from '../../src/system/yield-to-event-loop.js';

/** A loop that only waits when it yields. */
async function busy(signal: AbortSignal | undefined, steps: number): Promise<number> {
  let step = 0;
  for (; step < steps; step += 1) await yieldToEventLoop(signal);
  return step;
}

test('a timer can end a loop that yields', async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort('enough'), 1);
  await expect(busy(controller.signal, Number.POSITIVE_INFINITY)).rejects.toMatchObject({
    code: 'ERR_ABORTED',
    cause: 'enough',
  });
});

test('without a signal, or before it aborts, the loop continues', async () => {
  expect(await busy(undefined, 1000)).toBe(1000);
  expect(await busy(new AbortController().signal, 1000)).toBe(1000);
});
