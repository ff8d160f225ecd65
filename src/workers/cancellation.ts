/** How a worker hears, in the middle of an item, that nobody waits for it any more. */
import type { WorkerSetup } from './messages.js';

/**
 * To be called before each piece of an item.
 * @throws Error that ends the item
 */
export function refuseUnwanted({ unwanted }: Pick<WorkerSetup, 'unwanted'>): void {
  if (unwanted !== undefined && Atomics.load(unwanted, 0) !== 0)
    throw new Error('nobody waits for this item');
}
