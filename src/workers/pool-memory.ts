/**
 * Estimates the memory of a worker pool: of each thread with its engines and buffers, and of each slot with the
 * description of an item. Figures without a formula were measured and rounded up.
 */
import type { CompressorChoice } from '../engines/codec.js';
import { storesResults, type TaskName } from './messages/task.js';
import { MOST_READ_TOGETHER } from './tasks/payload-runs.js';

const MIB = 2 ** 20;

/** A thread of Node.js with the modules of a worker, its stack and its young generation. */
export const THREAD_BYTES = 14 * MIB;
/** The engines of Node.js allocate buffers for each cluster, which stay until a garbage collection. */
const NODE_ENGINE_BYTES = 40 * MIB;
/** The description of a piece of an item, in the main thread and in a worker. */
const PIECE_BYTES = 3 * 1024;
/** The same in a comparison, for the pieces of two disks. */
const COMPARED_PIECE_BYTES = 12 * 1024;
/** Growth of the main thread's heap for each piece that an item of a disk can have. */
const HEAP_BYTES = 48 * 1024;
/** The most that the heap grows for a disk. */
const MOST_HEAP_BYTES = 64 * MIB;

/** The work of the pool. Sizes in bytes. */
export interface PoolWork {
  readonly task: TaskName;
  /** Size of the largest item. */
  readonly itemSize: number;
  /** Whether items arrive in memory, as those of a stream do. */
  readonly arrivals: boolean;
  readonly compressor: CompressorChoice | undefined;
  /** Whether Node.js inflates. */
  readonly inflatesWithNode: boolean;
  /** The smallest and the largest cluster that is read or written. */
  readonly clusters: { readonly smallest: number; readonly largest: number };
}

/** In bytes. */
export interface PoolMemory {
  /** Independent of threads and slots. */
  readonly fixed: number;
  readonly perThread: number;
  readonly perSlot: number;
}

/** @returns the most memory that such a pool takes */
export function poolMemory({
  task,
  itemSize,
  arrivals,
  compressor,
  inflatesWithNode,
  clusters: { smallest, largest },
}: PoolWork): PoolMemory {
  const isComparison = task === 'compare disks';
  const items = isComparison ? 2 : task === 'examine payloads' ? 0 : 1;
  // A payload with the rest of its sectors, those that are read with it, and the inflated cluster.
  const reading = 4 * largest + MOST_READ_TOGETHER;
  const usesNode = inflatesWithNode || compressor?.engine === 'node';
  // The inflated payload, and a compressor of a lower level.
  const checking = compressor?.checks ? largest + engineBytes(compressor, largest) : 0;
  const engines = engineBytes(compressor, largest) + checking + (usesNode ? NODE_ENGINE_BYTES : 0);
  const stored = storesResults(task) ? 1 : 0;
  const count = Math.ceil(itemSize / smallest);
  const pieces = count * (isComparison ? COMPARED_PIECE_BYTES : PIECE_BYTES);
  return {
    fixed: Math.min(count * HEAP_BYTES, MOST_HEAP_BYTES) * (isComparison ? 2 : 1),
    perThread: THREAD_BYTES + items * itemSize + reading + engines + pieces,
    perSlot: (stored + (arrivals ? 1 : 0)) * itemSize + pieces,
  };
}

/** @returns bytes of a native engine for each thread, by level and cluster size */
function engineBytes(compressor: CompressorChoice | undefined, cluster: number): number {
  // By content: a compressor for each step (LEVEL_STEPS), or one context of libzstd for all of them.
  if (compressor?.byContent !== undefined && compressor.engine !== 'node') return 6 * MIB + cluster;
  switch (compressor?.engine) {
    case 'isal':
      return MIB + cluster;
    case 'libdeflate':
      // From level 10 on it searches exhaustively, in tables of a fixed size.
      return compressor.level >= 10 ? 10 * MIB : 2 * MIB;
    case 'libzstd':
      // Two tables of at most two entries of 4 bytes for each byte of the input; the lower levels have small ones.
      return compressor.level >= 5 ? 2 * MIB + 16 * cluster : 2 * MIB;
    default:
      return 0;
  }
}
