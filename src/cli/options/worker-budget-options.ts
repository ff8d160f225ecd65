/** The values of -m and --memory: with how many threads and how much memory a command may work. */
import type { CrewWishes } from '../../workers/worker-budget.js';
import { readMemory, readThreads } from './argument-numbers.js';

export interface CrewWords {
  /** -m */
  readonly parallel?: string;
  readonly memory?: string;
}

/** @throws Qcow2cError ERR_USAGE */
export function crewWishes({ parallel, memory }: CrewWords): CrewWishes {
  return {
    threads: parallel === undefined ? undefined : readThreads(parallel),
    memory: memory === undefined ? undefined : readMemory(memory),
  };
}
