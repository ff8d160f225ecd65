/**
 * The worker thread's entry: loaded by the pool, told its setup once, then called with one work item at
 * a time. Must never reach fs-ext (see docs/dependencies.md).
 */
import { workerData } from 'node:worker_threads';
import { createCompressor } from './engines.js';
import { ItemPacker } from './item-packer.js';
import type { WorkerSetup, WorkItem, WorkResult } from './messages.js';
import { SegmentError } from './segment-reader.js';

const setup = workerData as WorkerSetup;
const compressor = setup.compressor === undefined ? undefined : await createCompressor(setup.compressor);
const packer = new ItemPacker(setup, compressor);

/** @throws what the engine throws; the pool adds where it happened */
export default function packItem(item: WorkItem): WorkResult {
  try {
    return { sizes: packer.pack(item) };
  } catch (error) {
    if (error instanceof SegmentError) return { failure: error.failure };
    throw error;
  }
}
