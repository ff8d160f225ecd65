/** How many references a check counts at once, where memory is limited. Used by `check`. */

import { examinationNeed } from '../examine/examination-budget.js';
import type { Header } from '../qcow2/header.js';
import { type MemoryNeed, PROCESS_BYTES, planWorkerBudget } from '../workers/worker-budget.js';
import type { CheckOptions } from './options.js';
import { countersBytes, countersIn } from './reference-counters.js';

/** What a check reads at once of tables and refcounts, and what repair keeps, in bytes. */
const TABLES_BYTES = 8 * 2 ** 20;

/** In bytes, but for the clusters. */
export interface CountersMemory {
  readonly bytes: number;
  /** Host clusters of a window; undefined: as many as there ever are. */
  readonly windowClusters: number | undefined;
}

/**
 * Every further window is a way through all tables, so only that one thread can look at the data counts more.
 * @param fileSize bytes
 * @throws Qcow2cError ERR_USAGE for a limit that is too low
 */
export function countersMemory(
  fileSize: number,
  header: Header,
  { memory, data = false }: Pick<CheckOptions, 'memory' | 'data'>,
): CountersMemory {
  const analysis = { fixed: PROCESS_BYTES + TABLES_BYTES, perThread: 0, perSlot: 0 };
  const need: MemoryNeed = data ? examinationNeed(header) : analysis;
  const wishes = countersBytes(fileSize, 2 ** header.clusterBits);
  const { cache } = planWorkerBudget({ memory, threads: 1 }, undefined, { ...need, cache: wishes });
  return { bytes: cache, windowClusters: cache < wishes.wanted ? countersIn(cache) : undefined };
}
