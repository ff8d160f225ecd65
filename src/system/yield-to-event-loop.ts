/**
 * Lets signals, timers and other work run during a loop over an image's tables. An image can make such a loop
 * arbitrarily long without any wait for the system, and then nothing could interrupt it.
 */
import { abortedError } from '../errors.js';

/** Longest time without other work, in milliseconds: too short to be noticed. */
const LONGEST_WAIT = 50;

let lastYield = performance.now();

/**
 * Call it in every step of such a loop, and await the result unless it is undefined.
 * @returns undefined if it is too early to yield
 * @throws Qcow2cError ERR_ABORTED, by rejecting, if the signal has aborted
 */
export function yieldToEventLoop(signal: AbortSignal | undefined): Promise<void> | undefined {
  if (performance.now() - lastYield < LONGEST_WAIT) return undefined;
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      lastYield = performance.now();
      if (signal?.aborted) reject(abortedError(signal.reason));
      else resolve();
    });
  });
}
