/** How many threads work on a disk, and how many work items are in flight for them. */
import { availableParallelism } from 'node:os';
import { ITEM_BYTES } from './plan.js';

/** Items in flight for each worker: one being worked on and one waiting, so that no worker is ever idle. */
const ITEMS_PER_WORKER = 2;
/** Items in flight besides: finished ones that wait for their turn. */
const SPARE_ITEMS = 2;

export interface Crew {
  readonly threads: number;
  /** Items in flight at most. */
  readonly slots: number;
}

/**
 * @param wanted threads, at least 1; undefined: one for each processor
 * @param guestBytes of the disk, which may have work for fewer; undefined: nobody knows
 */
export function crewFor(wanted: number | undefined, guestBytes: number | undefined): Crew {
  const items = Math.ceil((guestBytes ?? Number.MAX_SAFE_INTEGER) / ITEM_BYTES);
  const threads = Math.min(wanted ?? availableParallelism(), Math.max(1, items));
  return { threads, slots: threads * ITEMS_PER_WORKER + SPARE_ITEMS };
}

/** How many threads a crew can have whose items take up `memory` bytes at most. */
export function mostThreads(memory: number): number {
  return Math.floor((memory / ITEM_BYTES - SPARE_ITEMS) / ITEMS_PER_WORKER);
}
