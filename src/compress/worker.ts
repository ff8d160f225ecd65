/**
 * The worker thread's entry: loaded by the pool, told its setup once, then called with one work item at
 * a time. Must never reach fs-ext (see docs/dependencies.md).
 */
import { workerData } from 'node:worker_threads';
import { ClusterPacker } from './cluster-packer.js';
import { createCompressor, createDecompressor } from './engines.js';
import type { WorkerSetup, WorkItem, WorkResult } from './messages.js';
import { RunPacker } from './run-packer.js';
import { SegmentError } from './segment-error.js';

const setup = workerData as WorkerSetup;
const decompressors = new Map(
  await Promise.all(
    setup.inflate.map(async (type) => {
      const request = { type, tellsLength: setup.passthrough };
      return [type, await createDecompressor(request)] as const;
    }),
  ),
);
const packer =
  setup.output === 'runs'
    ? new RunPacker(setup, decompressors)
    : new ClusterPacker(setup, setup.compressor && (await createCompressor(setup.compressor)), decompressors);

/** @throws what an engine throws; the pool adds where it happened */
export default function packItem(item: WorkItem): WorkResult {
  try {
    return packer.pack(item);
  } catch (error) {
    if (error instanceof SegmentError) return { failure: error.failure };
    throw error;
  }
}
