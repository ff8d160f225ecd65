/** Lets a worker end an item early: the main thread sets a shared flag, the worker reads it between the pieces of the item. */
import type { WorkerSetup } from './messages.js';

/**
 * To be called before each piece of an item.
 * @throws Error that ends the item
 */
export function throwIfCancelled({ cancellation }: Pick<WorkerSetup, 'cancellation'>): void {
  if (cancellation !== undefined && Atomics.load(cancellation, 0) !== 0)
    throw new Error('the item was cancelled');
}
