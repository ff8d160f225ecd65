/** Chooses the number of threads and of items in flight for a comparison. */
import { chainMemory } from '../image/chain-memory.js';
import type { OpenedImage } from '../image/open-image.js';
import { ITEM_BYTES } from '../workers/plan.js';
import { poolMemory } from '../workers/pool-memory.js';
import {
  PROCESS_BYTES,
  planWorkerBudget,
  type WorkerBudget,
  type WorkerBudgetOptions,
} from '../workers/worker-budget.js';

/**
 * @param guestBytes of the larger disk
 * @throws Qcow2cError ERR_USAGE for a memory limit that is too low
 */
export function comparisonBudget(
  options: WorkerBudgetOptions,
  images: readonly OpenedImage[],
  guestBytes: number,
): WorkerBudget {
  const { tables, clusters } = chainMemory(images);
  const pool = poolMemory({
    task: 'compare disks',
    itemSize: ITEM_BYTES,
    arrivals: false,
    compressor: undefined,
    inflatesWithNode: false,
    clusters,
  });
  return planWorkerBudget(options, guestBytes, { ...pool, fixed: PROCESS_BYTES + tables + pool.fixed });
}
