/**
 * The table of the exports that are open in this process. An export has a number that stands for a descriptor in maps;
 * the table travels to the workers with the setup of a task; a worker connects after its first read.
 */

import type { NbdSettings } from './connection-options.js';
import type { ExportFacts } from './export-facts.js';
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

/** Reads for a worker that has no connection of its own. @throws NbdFailure */
type ExportRead = (offset: number, into: Uint8Array) => Promise<void>;

const open = new Map<number, { readonly entry: OpenExport; readonly read: ExportRead }>();
let nextNumber = FIRST_NUMBER;

/** Whether a descriptor of a map is the number of an export. */
export function isExportNumber(descriptor: number): boolean {
  return descriptor >= FIRST_NUMBER;
}

/** Enters an export into the table. @param read reads whole blocks through the main thread's connection */
export function registerExport(facts: Omit<OpenExport, 'number'>, read: ExportRead): OpenExport {
  const entry = { ...facts, number: nextNumber };
  nextNumber += 1;
  open.set(entry.number, { entry, read });
  return entry;
}

export function forgetExport({ number }: OpenExport): void {
  open.delete(number);
}

/** All that are open now. */
export function openExports(): readonly OpenExport[] {
  return [...open.values()].map(({ entry }) => entry);
}

/** @returns how to read an export through the main thread's connection; undefined if it is closed */
export function readOf(number: number): ExportRead | undefined {
  return open.get(number)?.read;
}
