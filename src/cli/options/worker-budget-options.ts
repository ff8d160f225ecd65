/** Reads -m and --memory: the maximum number of threads and the memory limit of a command. */
import type { WorkerBudgetOptions } from '../../workers/worker-budget.js';
import { readMemory, readThreads } from './argument-numbers.js';

export interface WorkerBudgetWords {
  /** -m */
  readonly parallel?: string;
  readonly memory?: string;
}

/** @throws Qcow2cError ERR_USAGE */
export function workerBudgetOptions({ parallel, memory }: WorkerBudgetWords): WorkerBudgetOptions {
  return {
    threads: parallel === undefined ? undefined : readThreads(parallel),
    memory: memory === undefined ? undefined : readMemory(memory),
  };
}
