/**
 * Stands in for the worker pool: what a worker does is done on this thread, without the time it takes to start
 * one. Engines and memory live on from one conversion to the next, as they do from one item to the next.
 */
import { createCompressor, createDecompressor } from '../../src/engines/engine-choice.js';
import { sharedAlignedMemory } from '../../src/system/aligned-memory.js';
import { type FileOf, failureError } from '../../src/workers/failure-error.js';
import type {
  Compared,
  ComparisonItem,
  ComparisonSetup,
  FoundRuns,
  PackedClusters,
  PackingSetup,
  WorkItem,
} from '../../src/workers/messages.js';
import { DiskComparer } from '../../src/workers/tasks/compare-disks.js';
import { ClusterCompressor } from '../../src/workers/tasks/compress-clusters.js';
import { RunFinder } from '../../src/workers/tasks/find-runs.js';
import { SegmentError } from '../../src/workers/tasks/segment-error.js';
import { threadMemory } from '../../src/workers/tasks/thread-memory.js';

type Setup = Omit<PackingSetup, 'results' | 'arrivals'> | Omit<ComparisonSetup, 'results' | 'arrivals'>;
type Item = WorkItem | ComparisonItem;
interface Packer {
  pack(item: Item): PackedClusters | FoundRuns | Compared;
}

const SLOTS = 4;
let results: SharedArrayBuffer | undefined;
let arrivals: SharedArrayBuffer | undefined;
/** Engines, by what they were asked to be. */
const engines = new Map<string, Promise<unknown>>();

export class WorkerPool {
  readonly #setup: Setup;
  readonly #fileOf: FileOf;
  #packer: Packer | undefined;

  constructor(_entry: URL, _threads: number, slots: number, setup: Setup, fileOf: FileOf) {
    if (slots > SLOTS) throw new Error(`${slots} slots`);
    this.#setup = setup;
    this.#fileOf = fileOf;
  }

  pack(item: WorkItem, guestOffset: number) {
    return this.#run(item, guestOffset);
  }

  findRuns(item: WorkItem, guestOffset: number) {
    return this.#run(item, guestOffset);
  }

  compare(item: ComparisonItem, guestOffset: number) {
    return this.#run(item, guestOffset);
  }

  arrivalSlot(slot: number): Uint8Array {
    const { itemSize } = this.#setup;
    return new Uint8Array(arrivalsFor(itemSize), slot * itemSize, itemSize);
  }

  async close(): Promise<void> {
    threadMemory.giveBackAll();
  }

  async #run(item: Item, guestOffset: number) {
    this.#packer ??= await createPacker(this.#setup);
    const { itemSize } = this.#setup;
    try {
      const { unreadable, ...result } = this.#packer.pack(item);
      return {
        ...result,
        bytes: new Uint8Array(memoryFor(itemSize), item.slot * itemSize, itemSize),
        unreadable: unreadable.map(({ at, length, failure, isKept }) => ({
          guestOffset: guestOffset + at,
          length,
          error: failureError(failure, guestOffset, this.#fileOf, isKept),
          ...(isKept && { isKept }),
        })),
      };
    } catch (error) {
      if (error instanceof SegmentError) throw failureError(error.failure, guestOffset, this.#fileOf);
      throw error;
    }
  }
}

function memoryFor(itemSize: number): SharedArrayBuffer {
  results ??= sharedAlignedMemory(SLOTS * itemSize);
  return results;
}

function arrivalsFor(itemSize: number): SharedArrayBuffer {
  arrivals ??= sharedAlignedMemory(SLOTS * itemSize);
  return arrivals;
}

function once<Engine>(request: object, create: () => Promise<Engine>): Promise<Engine> {
  const key = JSON.stringify(request);
  const engine = engines.get(key) ?? create();
  engines.set(key, engine);
  return engine as Promise<Engine>;
}

/** As the worker does it. */
async function createPacker(setup: Setup): Promise<Packer> {
  const { inflate, itemSize } = setup;
  const memory = { results: memoryFor(itemSize), arrivals: arrivalsFor(itemSize) };
  const decompressors = new Map(
    await Promise.all(
      inflate.map(async (type) => {
        return [type, await once({ type }, () => createDecompressor({ type }))] as const;
      }),
    ),
  );
  if (setup.output === 'comparison')
    return new DiskComparer({ ...setup, ...memory }, decompressors) as Packer;
  if (setup.output === 'runs') return new RunFinder({ ...setup, ...memory }, decompressors) as Packer;
  const { compressor } = setup;
  const made = compressor && (await once(compressor, () => createCompressor(compressor)));
  return new ClusterCompressor({ ...setup, ...memory }, made, decompressors) as Packer;
}
