/**
 * Replaces the worker pool: this thread works on the items, without the time that starting a thread takes. Engines and
 * memory are reused from one conversion to the next, as they are from one item to the next.
 */
import { createCompressor, createDecompressor } from '../../src/engines/create-engine.js';
import { sharedAlignedMemory } from '../../src/system/aligned-memory.js';
import { failureError, ItemError, unreadableRange } from '../../src/workers/item-failure.js';
import type { PoolSharedMemory } from '../../src/workers/messages/task.js';
import type { AnyTask } from '../../src/workers/messages/thread.js';
import type { ItemResult, PoolOptions } from '../../src/workers/pool.js';
import { DiskComparer } from '../../src/workers/tasks/compare-disks.js';
import { ClusterCompressor } from '../../src/workers/tasks/compress-clusters.js';
import { RunFinder } from '../../src/workers/tasks/find-runs.js';
import { threadMemory } from '../../src/workers/tasks/thread-memory.js';
import type { TaskRunner } from '../../src/workers/worker-session.js';

const SLOTS = 4;
let results: SharedArrayBuffer | undefined;
let arrivals: SharedArrayBuffer | undefined;
/** Engines by their requests. */
const engines = new Map<string, Promise<unknown>>();

export class WorkerPool<Task extends AnyTask> {
  readonly #options: PoolOptions<Task>;
  #runner: TaskRunner<AnyTask> | undefined;

  constructor(options: PoolOptions<Task>) {
    if (options.slots > SLOTS) throw new Error(`${options.slots} slots`);
    this.#options = options;
  }

  arrivalSlot(slot: number): Uint8Array {
    const { itemSize } = this.#options.setup;
    return new Uint8Array(memoryFor(itemSize).arrivals, slot * itemSize, itemSize);
  }

  async close(): Promise<void> {
    threadMemory.giveBackAll();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async run(item: Task['item'], guestOffset: number): Promise<ItemResult<Task>> {
    const { setup, fileOf } = this.#options;
    const { itemSize } = setup;
    this.#runner ??= await createRunner(setup);
    try {
      const { unreadable, ...answer }: Task['answer'] = this.#runner.run(item);
      return {
        ...answer,
        bytes: new Uint8Array(memoryFor(itemSize).results, item.slot * itemSize, itemSize),
        unreadable: unreadable.map((range) => unreadableRange(range, guestOffset, fileOf)),
      };
    } catch (error) {
      if (error instanceof ItemError) throw failureError(error.failure, guestOffset, fileOf);
      throw error;
    }
  }
}

function memoryFor(itemSize: number): PoolSharedMemory {
  results ??= sharedAlignedMemory(SLOTS * itemSize);
  arrivals ??= sharedAlignedMemory(SLOTS * itemSize);
  return { results, arrivals, cancellation: new Int32Array(1) };
}

function once<Engine>(request: object, create: () => Promise<Engine>): Promise<Engine> {
  const key = JSON.stringify(request);
  const engine = engines.get(key) ?? create();
  engines.set(key, engine);
  return engine as Promise<Engine>;
}

/** As the worker does it. */
async function createRunner(setup: AnyTask['setup']): Promise<TaskRunner<AnyTask>> {
  const memory = memoryFor(setup.itemSize);
  const decompressors = new Map(
    await Promise.all(
      setup.inflate.map(async (type) => {
        return [type, await once({ type }, () => createDecompressor({ type }))] as const;
      }),
    ),
  );
  if (setup.task === 'compare disks') return new DiskComparer(setup, memory, decompressors);
  if (setup.task === 'find runs') return new RunFinder(setup, memory, decompressors);
  if (setup.task !== 'compress clusters') throw new Error(`no conversion has the task '${setup.task}'`);
  const { compressor } = setup;
  const made = compressor && (await once(compressor, () => createCompressor(compressor)));
  return new ClusterCompressor(setup, memory, made, decompressors);
}
