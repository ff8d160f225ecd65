/** Lets a worker end an item early: the pool sets a shared flag, the worker reads it between the pieces of the item. */
import type { PoolSharedMemory } from './messages/task.js';

/**
 * Called before each piece of an item.
 * @throws Error that ends the item
 */
export function throwIfCancelled({ cancellation }: Pick<PoolSharedMemory, 'cancellation'>): void {
  if (Atomics.load(cancellation, 0) !== 0) throw new Error('the item was cancelled');
}
