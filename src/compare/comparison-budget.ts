/** How many threads compare two images, and how many items are in flight for them. */

import { chainMemory } from '../image/chain-memory.js';
import type { OpenedImage } from '../image/open-image.js';
import { ITEM_BYTES } from '../workers/plan.js';
import { poolMemory } from '../workers/pool-memory.js';
import { type Crew, type CrewWishes, crewFor, PROCESS_BYTES } from '../workers/worker-budget.js';

/**
 * @param guestBytes of the larger disk
 * @throws Qcow2cError ERR_USAGE for a limit of memory that is too low
 */
export function comparisonCrew(wishes: CrewWishes, images: readonly OpenedImage[], guestBytes: number): Crew {
  const { tables, clusters } = chainMemory(images);
  const pool = poolMemory({
    output: 'comparison',
    itemSize: ITEM_BYTES,
    arrivals: false,
    compressor: undefined,
    inflatesWithNode: false,
    clusters,
  });
  return crewFor(wishes, guestBytes, { ...pool, fixed: PROCESS_BYTES + tables + pool.fixed });
}
