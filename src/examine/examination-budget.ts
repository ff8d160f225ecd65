/** The worker budget of an examination, and the memory for marking host clusters. */
import { clusterSizeOf } from '../qcow2/geometry.js';
import type { Header } from '../qcow2/header.js';
import { markedClustersBytes } from '../qcow2/marked-clusters.js';
import { ITEM_BYTES } from '../workers/plan.js';
import { poolMemory } from '../workers/pool-memory.js';
import {
  type MemoryNeed,
  PROCESS_BYTES,
  planWorkerBudget,
  type WorkerBudget,
  type WorkerBudgetOptions,
} from '../workers/worker-budget.js';

/** Bytes of pieces of L2 tables and of the descriptions of items. */
const TABLES_BYTES = 4 * 2 ** 20;

export interface ExaminationOptions extends WorkerBudgetOptions {
  /** Mark host clusters, in `cache` bytes. */
  readonly streamFacts: boolean;
  /** Bytes that the caller holds during the examination. */
  readonly held?: number | undefined;
}

/**
 * @param fileSize bytes
 * @throws Qcow2cError ERR_USAGE for a limit that is too low
 */
export function examinationBudget(
  fileSize: number,
  header: Header,
  { streamFacts, held = 0, ...options }: ExaminationOptions,
): WorkerBudget {
  const { fixed, ...need } = examinationNeed(header);
  const cache = streamFacts ? markedClustersBytes(fileSize, clusterSizeOf(header)) : undefined;
  return planWorkerBudget(options, header.virtualSize, { ...need, fixed: fixed + held, cache });
}

/** The memory of an examination without a cache. */
export function examinationNeed(header: Header): MemoryNeed {
  const { compressionType } = header;
  const clusterSize = clusterSizeOf(header);
  const pool = poolMemory({
    task: 'examine payloads',
    itemSize: ITEM_BYTES,
    arrivals: false,
    compressor: undefined,
    // Payloads are judged with zlib, as in QEMU.
    inflatesWithNode: compressionType === 'zlib',
    clusters: { smallest: clusterSize, largest: clusterSize },
  });
  return { ...pool, fixed: PROCESS_BYTES + TABLES_BYTES + pool.fixed };
}
