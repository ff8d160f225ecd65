/**
 * The worker thread's entry: loaded by the pool, told its setup once, then called with one work item at
 * a time. Must never reach fs-ext (see docs/dependencies.md).
 */
import { workerData } from 'node:worker_threads';
import { ClusterPacker } from './cluster-packer.js';
import { DiskComparer } from './disk-comparer.js';
import { createCompressor, createDecompressor, nodeInflates } from './engines.js';
import type { PoolItem, WorkAnswer, WorkerSetup, WorkResult } from './messages.js';
import { RunPacker } from './run-packer.js';
import { SegmentError } from './segment-error.js';
import { StreamExaminer } from './stream-examiner.js';

const setup = workerData as WorkerSetup;
const packer = await createPacker();

/** @returns what takes the items that the setup asks for, of which there are no others */
async function createPacker(): Promise<{ pack(item: never): WorkAnswer }> {
  const decompressors = new Map(
    await Promise.all(
      setup.inflate.map(async (type) => {
        const engine = setup.inflateWithNode && nodeInflates(type) ? 'node' : undefined;
        const decompressor = await createDecompressor({ type, engine });
        decompressor.freeWithThread();
        return [type, decompressor] as const;
      }),
    ),
  );
  switch (setup.output) {
    case 'clusters': {
      const compressor = setup.compressor && (await createCompressor(setup.compressor));
      compressor?.freeWithThread();
      return new ClusterPacker(setup, compressor, decompressors);
    }
    case 'runs':
      return new RunPacker(setup, decompressors);
    case 'comparison':
      return new DiskComparer(setup, decompressors);
    case 'examination':
      return StreamExaminer.create(setup);
  }
}

/** @throws what an engine throws; the pool adds where it happened */
export default function packItem(item: PoolItem): WorkResult {
  try {
    return packer.pack(item as never);
  } catch (error) {
    if (error instanceof SegmentError) return { failure: error.failure };
    throw error;
  }
}
