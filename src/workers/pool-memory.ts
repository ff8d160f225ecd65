/**
 * What a worker pool takes of memory: for each thread its share of Node.js, its engines and buffers, for each slot the
 * shared memory and the lists that describe an item. Figures that no formula gives were measured and rounded up
 * (docs/reliability.md, "Resources"). Used by whoever chooses threads by memory.
 */
import type { CompressorChoice } from '../engines/codec.js';
import type { WorkerSetup } from './messages.js';

const MIB = 2 ** 20;

/** A thread of Node.js with the modules of a worker, its stack and its young generation. */
export const THREAD_BYTES = 14 * MIB;
/** Node.js' own engines make buffers for each cluster, which lie about until its heap is gone through. */
const NODE_ENGINE_BYTES = 40 * MIB;
/** What an item's description takes for each piece of it, on either side. */
const PIECE_BYTES = 3 * 1024;
/** The same of two disks that are compared: what both hold is told piece by piece. */
const COMPARED_PIECE_BYTES = 12 * 1024;
/** What the main thread's heap grows to, for each piece that an item of one disk can have, and at most. */
const HEAP_BYTES = 48 * 1024;
const MOST_HEAP_BYTES = 64 * MIB;

/** What the workers are to do. Sizes in bytes. */
export interface PoolWork {
  readonly output: WorkerSetup['output'];
  /** Of the largest work item. */
  readonly itemSize: number;
  /** Whether items come in through memory. */
  readonly arrivals: boolean;
  readonly compressor: CompressorChoice | undefined;
  /** Whether Node.js inflates. */
  readonly inflatesWithNode: boolean;
  /** The smallest and the largest cluster that is read or made. */
  readonly clusters: { readonly smallest: number; readonly largest: number };
}

/** In bytes. */
export interface PoolMemory {
  /** Whatever the number of threads. */
  readonly fixed: number;
  readonly perThread: number;
  readonly perSlot: number;
}

export function poolMemory({
  output,
  itemSize,
  arrivals,
  compressor,
  inflatesWithNode,
  clusters: { smallest, largest },
}: PoolWork): PoolMemory {
  const isComparison = output === 'comparison';
  const items = isComparison ? 2 : output === 'examination' ? 0 : 1;
  // A payload and its sectors' rest, and what it inflates to.
  const reading = 4 * largest;
  const usesNode = inflatesWithNode || compressor?.engine === 'node';
  // What a payload is inflated to, and a compressor of a lower level.
  const checking = compressor?.checks ? largest + engineBytes(compressor, largest) : 0;
  const engines = engineBytes(compressor, largest) + checking + (usesNode ? NODE_ENGINE_BYTES : 0);
  const stored = output === 'clusters' || output === 'runs' ? 1 : 0;
  const count = Math.ceil(itemSize / smallest);
  const pieces = count * (isComparison ? COMPARED_PIECE_BYTES : PIECE_BYTES);
  return {
    fixed: Math.min(count * HEAP_BYTES, MOST_HEAP_BYTES) * (isComparison ? 2 : 1),
    perThread: THREAD_BYTES + items * itemSize + reading + engines + pieces,
    perSlot: (stored + (arrivals ? 1 : 0)) * itemSize + pieces,
  };
}

/** What native engines keep for a thread; what they need follows from the level and the cluster. */
function engineBytes(compressor: CompressorChoice | undefined, cluster: number): number {
  switch (compressor?.engine) {
    case 'libdeflate':
      // From level 10 on it looks for the best of all ways, in tables of a fixed size.
      return compressor.level >= 10 ? 10 * MIB : 2 * MIB;
    case 'libzstd':
      // Two tables of at most two entries of 4 bytes for each byte of the input; the lower levels have small ones.
      return compressor.level >= 5 ? 2 * MIB + 16 * cluster : 2 * MIB;
    default:
      return 0;
  }
}
