/** The connections of a worker thread to NBD exports. A thread serves one pool at a time; they end with it. */
import type { ExportReader } from '../../nbd/export-reader.js';
import { NbdFailure } from '../../nbd/nbd-failure.js';
import { BrokeredReader, type PostRead } from '../brokered-read.js';
import { throwIfCancelled } from '../cancellation.js';
import type { PoolSharedMemory, TaskSetup } from '../messages/task.js';

let reader: ExportReader | undefined;

/**
 * Takes the exports that a pool reads. A connection is made after the first read of an export.
 * @param post asks the main thread to read; undefined on the main thread itself
 */
export async function takeExports(
  { exports = [] }: Pick<TaskSetup, 'exports'>,
  memory: Pick<PoolSharedMemory, 'cancellation'>,
  post: PostRead | undefined,
): Promise<void> {
  releaseExports();
  if (exports.length === 0 || post === undefined) return;
  // Loaded on demand: other runs start faster.
  const { ExportReader } = await import('../../nbd/export-reader.js');
  const cancelled = () => throwIfCancelled(memory);
  const brokered = new BrokeredReader(post, cancelled);
  reader = new ExportReader(exports, {
    throwIfCancelled: cancelled,
    readThroughMain: (...request) => brokered.read(...request),
  });
}

/** Ends all connections. */
export function releaseExports(): void {
  reader?.close();
  reader = undefined;
}

/**
 * @param number of an export that was taken
 * @param offset bytes in the export
 * @returns bytes read; fewer than `into` takes only at the end of the export
 * @throws NbdFailure
 */
export function readExport(number: number, into: Uint8Array, offset: number): number {
  if (reader === undefined) throw new NbdFailure('closed', 'the export is not open');
  return reader.read(number, into, offset);
}
