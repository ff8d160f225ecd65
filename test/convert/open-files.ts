/** What this process has open beside worker threads that wait for the next conversion: each has descriptors of its own. */
import { readdirSync } from 'node:fs';
import { closeWorkers } from '../../src/workers/idle-threads.js';

/** @returns how many descriptors; ends the threads that wait */
export async function openFiles(): Promise<number> {
  await closeWorkers();
  return readdirSync('/proc/self/fd').length;
}
