/** Chooses how many references a check counts at once if memory is limited. Used by `check`. */
import { examinationNeed } from '../examine/examination-budget.js';
import { clusterSizeOf } from '../qcow2/geometry.js';
import type { Header } from '../qcow2/header.js';
import { type MemoryNeed, PROCESS_BYTES, planWorkerBudget } from '../workers/worker-budget.js';
import type { CheckOptions } from './options.js';
import { countersBytes, countersIn } from './reference-counters.js';

/** Bytes of the tables and refcounts that a check reads at once, and of the data that the repair keeps. */
const TABLES_BYTES = 8 * 2 ** 20;

/** In bytes, except for the number of clusters. */
interface CountersMemory {
  readonly bytes: number;
  /** Host clusters of a window; undefined: the largest number. */
  readonly windowClusters: number | undefined;
}

/**
 * More windows mean more readings of all tables. Therefore windows get memory first, and the data check gets one
 * thread.
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
  const counters = countersBytes(fileSize, clusterSizeOf(header));
  const { cache } = planWorkerBudget({ memory, threads: 1 }, undefined, { ...need, cache: counters });
  return { bytes: cache, windowClusters: cache < counters.wanted ? countersIn(cache) : undefined };
}
