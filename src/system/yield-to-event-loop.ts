/**
 * Lets signals, timers and other work have their turn in a loop over an image's tables. Such a loop can go on for as
 * long as the image likes without ever waiting for the system, and nothing could end it.
 */
import { abortedError } from '../errors.js';

/** How long others wait at most, in milliseconds: nobody notices. */
const LONGEST_WAIT = 50;

let lastTurn = performance.now();

/**
 * To be called in every step of such a loop, and waited for when there is something to wait for.
 * @returns undefined when the others need not have their turn yet
 * @throws Qcow2cError ERR_ABORTED, by rejecting, when the signal has come
 */
export function yieldToEventLoop(signal: AbortSignal | undefined): Promise<void> | undefined {
  if (performance.now() - lastTurn < LONGEST_WAIT) return undefined;
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      lastTurn = performance.now();
      if (signal?.aborted) reject(abortedError(signal.reason));
      else resolve();
    });
  });
}
