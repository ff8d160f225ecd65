// A worker thread on every core, for the yardsticks: the threads take items of one list until none is left.
import { closeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

/**
 * Runs the module in a thread for each core, with `workerData`: `descriptor`, `shared` (the numbers), `next` (the index
 * that all threads count up) and `more`. Closes the descriptor after the last one.
 * @param {string} module URL @param {number} descriptor @param {readonly number[]} numbers
 * @param {Record<string, unknown>} more
 */
export function onAllCores(module, descriptor, numbers, more) {
  const shared = new Float64Array(new SharedArrayBuffer(numbers.length * 8));
  shared.set(numbers);
  const next = new Int32Array(new SharedArrayBuffer(4));
  let running = availableParallelism();
  for (let n = running; n > 0; n--) {
    const worker = new Worker(new URL(module), { workerData: { descriptor, shared, next, ...more } });
    worker.on('exit', () => {
      if (--running === 0) closeSync(descriptor);
    });
  }
}
