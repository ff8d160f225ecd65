/**
 * The worker threads and the shared memory their results come back in. Order and the bound on what is in
 * flight are the caller's: a slot is lent for each item until its result has been taken over.
 */
import { Piscina } from 'piscina';
import { ioError, Qcow2cError, quoted } from '../errors.js';
import { sharedAlignedMemory } from '../storage/aligned-memory.js';
import type { ClusterSizes, ItemFailure, WorkerSetup, WorkItem, WorkResult } from './messages.js';

/**
 * A worker's heap holds a few small objects for each item: a small young generation keeps its garbage
 * from being spread over megabytes. Numbers in MB.
 */
const WORKER_HEAP = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };

/** An item's bytes, back from a worker. */
export interface PackedItem {
  readonly sizes: ClusterSizes;
  /** The slot's memory: what `sizes` measures, one behind the other. */
  readonly bytes: Uint8Array;
}

/** Names the file behind a descriptor, for messages. */
export type FileOf = (descriptor: number) => string | undefined;

export class WorkerPool {
  readonly #pool: Piscina;
  readonly #results: Uint8Array;
  readonly #itemSize: number;
  readonly #fileOf: FileOf;
  /** Why a worker ended that had no item. */
  #lost: unknown;
  #closed = false;

  /**
   * Starts the threads.
   * @param entry the worker's module
   * @param setup told to every worker
   * @param slots how many items can be in flight
   */
  constructor(
    entry: URL,
    threads: number,
    slots: number,
    setup: Omit<WorkerSetup, 'results'>,
    fileOf: FileOf,
  ) {
    const results = sharedAlignedMemory(slots * setup.itemSize);
    this.#results = new Uint8Array(results);
    this.#itemSize = setup.itemSize;
    this.#fileOf = fileOf;
    this.#pool = new Piscina({
      filename: entry.href,
      minThreads: threads,
      maxThreads: threads,
      recordTiming: false,
      // The oldest item is the one the caller waits for.
      stricterFIFO: true,
      resourceLimits: WORKER_HEAP,
      workerData: { ...setup, results } satisfies WorkerSetup,
    });
    // A worker that fails in an item fails that item. One that fails without any is heard of here; Piscina
    // replaces it, but not when it cannot be loaded: what waits then would wait for ever.
    this.#pool.on('error', (error) => {
      this.#lost ??= error;
    });
    this.#pool.on('workerDestroy', () => {
      setImmediate(() => {
        if (!this.#closed && this.#pool.threads.length === 0) void this.#pool.destroy();
      });
    });
  }

  /**
   * @param item with a slot that no other item in flight has
   * @param guestOffset where the item begins, in bytes, for messages
   * @throws Qcow2cError ERR_IO or ERR_SOURCE_CHANGED for a failed read, ERR_WORKER when the worker threw or died
   */
  async pack(item: WorkItem, guestOffset: number): Promise<PackedItem> {
    let result: WorkResult;
    try {
      result = await this.#pool.run(item);
    } catch (error) {
      const cause = this.#lost ?? error;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Qcow2cError('ERR_WORKER', `A worker failed at guest offset ${guestOffset}: ${reason}`, {
        offset: guestOffset,
        cause,
      });
    }
    if ('failure' in result) throw this.#readError(result.failure);
    const start = item.slot * this.#itemSize;
    return { sizes: result.sizes, bytes: this.#results.subarray(start, start + this.#itemSize) };
  }

  /** Ends all threads, also in the middle of an item. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#pool.destroy();
  }

  #readError(failure: ItemFailure): Qcow2cError {
    const file = this.#fileOf(failure.descriptor) ?? 'the source';
    const { offset } = failure;
    if (failure.kind === 'short') {
      const { expected, found } = failure;
      return new Qcow2cError(
        'ERR_SOURCE_CHANGED',
        `${quoted(file)} became shorter while it was being converted: ` +
          `${expected} bytes were expected at offset ${offset}, ${found} are there`,
        { file, offset, expected, found },
      );
    }
    const cause = Object.assign(new Error(failure.message), { errno: failure.errno, code: failure.code });
    return ioError(`Could not read ${quoted(file)} at offset ${offset}`, cause, { file, offset });
  }
}
