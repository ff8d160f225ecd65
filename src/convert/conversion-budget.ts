/** The threads, the items in flight and the write cache of a conversion, from the memory that its parts take. */
import type { CompressorChoice } from '../engines/codec.js';
import { nodeInflates } from '../engines/create-engine.js';
import { usageError } from '../errors.js';
import { chainMemory } from '../image/chain-memory.js';
import type { OpenedImage } from '../image/open-image.js';
import { type Geometry, l1EntriesFor, MAX_L1_BYTES, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import { allocationUnit } from '../qcow2/image-body.js';
import { LARGEST_PIECE } from '../system/aligned-memory.js';
import { ITEM_BYTES } from '../workers/plan.js';
import { type PoolMemory, type PoolWork, poolMemory, THREAD_BYTES } from '../workers/pool-memory.js';
import {
  type MemoryNeed,
  PROCESS_BYTES,
  planWorkerBudget,
  type WorkerBudget,
} from '../workers/worker-budget.js';
import { countersBytesOf, type ExistingImage } from './existing-image.js';
import type { Input } from './input.js';
import type { ConvertOptions } from './options.js';

const MIB = 2 ** 20;

/**
 * Default bytes of the compressed write cache: two merged writes in flight, and as much again to be filled meanwhile.
 * At least four allocation units.
 */
const CACHE_BYTES = 8 * MIB;
/** Runs of normal clusters and tables, one being filled and two being written, at most; or zeros for a raw disk. */
const RUN_BYTES = 6 * MIB;

/** The facts of the target that are known before it is opened. */
interface PlannedOutput {
  /** undefined: a raw disk. */
  readonly geometry: Geometry | undefined;
  readonly compressor: CompressorChoice | undefined;
  /** An image that is written into. */
  readonly existing?: ExistingImage | undefined;
  /** Bytes that the caller holds. */
  readonly callerBytes?: number | undefined;
}

/**
 * @param read the images that are read, with the backing file of the target; none for a stream
 * @returns `cache` is that of the compressed write cache, and 0 where nothing goes through one
 * @throws Qcow2cError ERR_USAGE for a limit that is too low
 */
export function conversionBudget(
  options: ConvertOptions,
  input: Input,
  read: readonly OpenedImage[],
  { geometry, compressor, existing, callerBytes = 0 }: PlannedOutput,
): WorkerBudget {
  const { tables, clusters } = chainMemory(read);
  const made = geometry?.clusterSize ?? clusters.largest;
  const smallest = Math.min(clusters.smallest, made);
  const work = {
    itemSize: ITEM_BYTES,
    arrivals: input.arrives,
    compressor,
    inflatesWithNode: options.engine === 'node' && [...input.compressionTypes].some(nodeInflates),
    clusters: { smallest, largest: Math.max(clusters.largest, made) },
  };
  const first = poolMemory({ ...work, task: geometry === undefined ? 'find runs' : 'compress clusters' });
  const second = options.verify ? verificationMemory(work) : { perThread: 0, perSlot: 0 };
  const l1 = geometry === undefined ? 0 : l1Bytes(geometry, existing?.virtualSize ?? input.size);
  const counters = existing === undefined ? 0 : countersBytesOf(existing);
  return planWorkerBudget(options, input.size, {
    fixed: PROCESS_BYTES + RUN_BYTES + tables + 2 * l1 + counters + first.fixed + callerBytes,
    perThread: first.perThread + second.perThread,
    perSlot: first.perSlot + second.perSlot,
    cache: geometry && cacheNeed(geometry.clusterSize, options),
  });
}

/** The memory that threads and slots of the verification take, beyond the memory of the conversion, which is kept. */
function verificationMemory(work: Omit<PoolWork, 'task'>): Pick<PoolMemory, 'perThread' | 'perSlot'> {
  const task = work.arrivals ? 'find runs' : 'compare disks';
  const { perThread, perSlot } = poolMemory({ ...work, task, arrivals: false, compressor: undefined });
  return { perThread: perThread - THREAD_BYTES, perSlot };
}

/** @param virtualSize bytes; undefined: as large as the table can be */
function l1Bytes(geometry: Geometry, virtualSize: number | undefined): number {
  if (virtualSize === undefined) return 0;
  return Math.min(MAX_L1_BYTES, l1EntriesFor(geometry, virtualSize) * TABLE_ENTRY_BYTES);
}

/** @throws Qcow2cError ERR_USAGE for an impossible size */
function cacheNeed(
  clusterSize: number,
  { compress = false, compressedCacheSize: asked }: ConvertOptions,
): MemoryNeed['cache'] {
  const unit = allocationUnit(clusterSize);
  if (asked !== undefined && asked !== 0 && !(asked >= unit && asked <= LARGEST_PIECE)) {
    throw usageError(
      `The compressed write cache takes ${unit} to ${LARGEST_PIECE} bytes for this cluster size, or 0`,
      { found: asked },
    );
  }
  if (asked !== undefined) return { wanted: asked, least: asked };
  // Without compression the cache exists but stays empty.
  return compress
    ? { wanted: Math.max(CACHE_BYTES, 4 * unit), least: 2 * unit }
    : { wanted: unit, least: unit };
}
