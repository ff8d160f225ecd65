/**
 * The table of the exports that are open in this process. An export has a number that stands for a descriptor in maps;
 * the table travels to the workers with the setup of a task, and a worker connects when it first reads.
 */

import type { ExportFacts, NbdSettings } from './nbd-handle.js';
import type { NbdAddress } from './nbd-name.js';

/** An open export. Plain data, which also passes to worker threads. */
export interface OpenExport {
  /** Stands for a descriptor; from FIRST_NUMBER on. */
  readonly number: number;
  readonly address: NbdAddress;
  readonly settings: NbdSettings;
  readonly facts: ExportFacts;
}

/** No descriptor of a file has such a number: the system's are ints. */
const FIRST_NUMBER = 2 ** 31;

const open = new Map<number, OpenExport>();
let nextNumber = FIRST_NUMBER;

/** Whether a descriptor of a map is the number of an export. */
export function isExportNumber(descriptor: number): boolean {
  return descriptor >= FIRST_NUMBER;
}

/** Enters an export into the table. */
export function registerExport(entry: Omit<OpenExport, 'number'>): OpenExport {
  const registered = { ...entry, number: nextNumber };
  nextNumber += 1;
  open.set(registered.number, registered);
  return registered;
}

export function forgetExport({ number }: OpenExport): void {
  open.delete(number);
}

/** All that are open now. */
export function openExports(): readonly OpenExport[] {
  return [...open.values()];
}
