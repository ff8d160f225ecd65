/** A worker's setup with the defaults of the command line and the memory of its pool, and the clusters in a slot. */
import type { ClusterSizes } from '../../src/qcow2/packed-clusters.js';
import { UNCHANGED } from '../../src/qcow2/packed-clusters.js';
import type { CompressionSetup } from '../../src/workers/messages/compression.js';
import type { RunsSetup } from '../../src/workers/messages/runs.js';
import type { PoolSharedMemory } from '../../src/workers/messages/task.js';

export const SLOTS = 3;

/** @param slots bytes of all slots, which are full of 0xcc */
export function memoryOf(slots = 0): PoolSharedMemory {
  const results = new SharedArrayBuffer(slots);
  new Uint8Array(results).fill(0xcc);
  const arrivals = new SharedArrayBuffer(0);
  return { results, arrivals, cancellation: new Int32Array(new SharedArrayBuffer(4)) };
}

/** Nothing is compressed unless `more` has a compressor. */
export function compressionSetupOf(
  clusterSize: number,
  itemSize: number,
  more: Partial<CompressionSetup> = {},
): CompressionSetup {
  return {
    task: 'compress clusters',
    clusterSize,
    itemSize,
    compressor: undefined,
    inflate: [],
    passthrough: false,
    keepZeros: false,
    sparseSize: 4096,
    subclusters: false,
    salvage: false,
    readAlignment: 1,
    ...more,
  };
}

/** The same with the memory of its items. */
export function setupOf(
  clusterSize: number,
  itemSize: number,
  more?: Partial<CompressionSetup>,
): CompressionSetup & PoolSharedMemory {
  return { ...compressionSetupOf(clusterSize, itemSize, more), ...memoryOf(SLOTS * itemSize) };
}

export function runsSetupOf(itemSize: number, more: Partial<RunsSetup> = {}): RunsSetup & PoolSharedMemory {
  return {
    ...{ task: 'find runs', itemSize, inflate: [], keepZeros: false, sparseSize: 4096 },
    ...{ salvage: false, readAlignment: 1 },
    ...memoryOf(SLOTS * itemSize),
    ...more,
  };
}

/** The slot's results, one for each cluster; empty for a cluster without bytes in the slot. */
export function piecesOf(
  { results, itemSize }: CompressionSetup & PoolSharedMemory,
  sizes: ClusterSizes,
  slot = 0,
): Buffer[] {
  let at = slot * itemSize;
  return [...sizes].map((size) => {
    const length = size === UNCHANGED ? 0 : size;
    const piece = Buffer.from(results.slice(at, at + length));
    at += length;
    return piece;
  });
}
