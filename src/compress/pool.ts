/**
 * The worker threads and the memory they share with the main thread: results come back in it, and the items of
 * a stream go out in it. Order and the bound on what is in flight are the caller's: a slot is lent for each
 * item until its result has been taken over.
 */
import { Piscina } from 'piscina';
import { internalError, Qcow2cError } from '../errors.js';
import { sharedAlignedMemory } from '../storage/aligned-memory.js';
import { demandDescriptors } from './descriptor-room.js';
import { type FileOf, failureError } from './failure-error.js';
import type {
  Compared,
  ComparisonItem,
  ExaminationItem,
  Examined,
  FoundRuns,
  ItemFailure,
  PackedClusters,
  PoolItem,
  WorkAnswer,
  WorkerSetup,
  WorkItem,
} from './messages.js';

/**
 * A worker's heap holds a few small objects for each item: a small young generation keeps its garbage
 * from being spread over megabytes. Numbers in MB.
 */
const WORKER_HEAP = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };

/** What was taken for zeros because it could not be read. In bytes of the virtual disk. */
export interface UnreadableBytes {
  readonly guestOffset: number;
  readonly length: number;
  readonly error: Qcow2cError;
}

/** A worker's answer with the memory it speaks of. */
type FromWorker<Answer> = Omit<Answer, 'unreadable'> & {
  /** The slot's memory, the whole slot. */
  readonly bytes: Uint8Array;
  /** Ascending; empty without salvage. */
  readonly unreadable: readonly UnreadableBytes[];
};

/** An item's clusters: in `bytes` lies what `sizes` measures, one behind the other. */
export type PackedItem = FromWorker<PackedClusters>;

/** An item's runs: `bytes` is the item as it is on the disk. */
export type SparseItem = FromWorker<FoundRuns>;

export type ComparedItem = FromWorker<Compared>;

export interface ExaminedItem extends Pick<Examined, 'facts'> {
  /** By the index of the payload, ascending. */
  readonly broken: readonly { readonly index: number; readonly error: Qcow2cError }[];
}

/** A setup without the memory, which is the pool's. */
type Without<Setup, Keys extends string> = Setup extends unknown ? Omit<Setup, Keys> : never;
export type PoolSetup = Without<WorkerSetup, 'results' | 'arrivals'>;

export class WorkerPool {
  readonly #pool: Piscina;
  readonly #results: Uint8Array;
  readonly #arrivals: Uint8Array | undefined;
  readonly #itemSize: number;
  readonly #fileOf: FileOf;
  /** Why the first thread ended that should not have. */
  #lost: unknown;
  #closed = false;
  /** Resolves when every thread of the start has loaded its modules, or ended. */
  readonly #loaded: Promise<unknown>;

  /**
   * Starts the threads.
   * @param entry the worker's module
   * @param slots how many items can be in flight
   * @param setup told to every worker
   * @param fileOf names the file behind a descriptor, for messages
   * @param arrivals whether items come in through memory, see `arrivalSlot`
   * @throws Qcow2cError ERR_IO when there are not enough descriptors or not enough memory for them
   */
  constructor(
    entry: URL,
    threads: number,
    slots: number,
    setup: PoolSetup,
    fileOf: FileOf,
    arrivals = false,
  ) {
    demandDescriptors(threads);
    const isStored = setup.output === 'clusters' || setup.output === 'runs';
    const results = isStored ? sharedAlignedMemory(slots * setup.itemSize) : new SharedArrayBuffer(0);
    const arriving = arrivals ? sharedAlignedMemory(slots * setup.itemSize) : undefined;
    this.#results = new Uint8Array(results);
    this.#arrivals = arriving && new Uint8Array(arriving);
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
      workerData: { ...setup, results, arrivals: arriving } satisfies WorkerSetup,
    });
    this.#loaded = Promise.all(
      this.#pool.threads.map(
        (thread) =>
          new Promise<void>((resolve) => {
            // Its first message says that the module is loaded.
            thread.once('message', () => resolve());
            thread.once('exit', () => resolve());
          }),
      ),
    );
    const lose = (reason: unknown) => {
      if (!this.#closed) this.#lost ??= reason;
    };
    for (const thread of this.#pool.threads) {
      thread.once('error', lose);
      thread.once('exit', (code) => lose(new Error(`worker exited with code: ${code}`)));
    }
    // Piscina tells this too, of a thread without an item; unheard, it would end the process.
    this.#pool.on('error', lose);
    // The work fails with a thread that ends, so it is not replaced: the new one would have to be waited for, and one
    // that Piscina starts when it hears of the end late would be nobody's. It looks at these numbers after this event.
    this.#pool.on('workerDestroy', () => {
      const { options, threads } = this.#pool;
      options.minThreads = threads.length - 1;
      options.maxThreads = threads.length - 1;
      // What waits when the last one is gone would wait for ever.
      setImmediate(() => {
        if (!this.#closed && threads.length === 1) void this.#pool.destroy();
      });
    });
  }

  /**
   * The memory in which an item of a stream is handed to a worker (segments of the kind `arrived`), the whole
   * slot. Only of a pool with arrivals.
   */
  arrivalSlot(slot: number): Uint8Array {
    if (this.#arrivals === undefined) throw internalError('a pool without arrivals was asked for a slot');
    return this.#slotOf(this.#arrivals, slot);
  }

  /**
   * For a pool whose output is `clusters`.
   * @param item with a slot that no other item in flight has
   * @param guestOffset where the item begins, in bytes, for messages
   * @throws Qcow2cError ERR_IO or ERR_SOURCE_CHANGED for a failed read, ERR_CORRUPT for a damaged payload,
   *   ERR_WORKER when the worker threw or died
   */
  async pack(item: WorkItem, guestOffset: number): Promise<PackedItem> {
    return this.#run<PackedClusters>(item, guestOffset);
  }

  /** For a pool whose output is `runs`; everything else as `pack`. */
  async findRuns(item: WorkItem, guestOffset: number): Promise<SparseItem> {
    return this.#run<FoundRuns>(item, guestOffset);
  }

  /** For a pool whose output is `comparison`: never throws for what cannot be read. */
  async compare(item: ComparisonItem, guestOffset: number): Promise<ComparedItem> {
    return this.#run<Compared>(item, guestOffset);
  }

  /**
   * For a pool whose output is `examination`.
   * @param guestOffsets of each payload, in bytes, for messages
   * @throws Qcow2cError ERR_WORKER when the worker threw or died
   */
  async examine(item: ExaminationItem, guestOffsets: readonly number[]): Promise<ExaminedItem> {
    const [guestOffset = 0] = guestOffsets;
    const { facts, broken } = await this.#answer<Examined>(item, guestOffset);
    return {
      facts,
      broken: broken.map(({ index, failure }) => ({
        index,
        error: failureError(failure, guestOffsets[index] ?? guestOffset, this.#fileOf),
      })),
    };
  }

  /** Ends all threads, also in the middle of an item. */
  async close(): Promise<void> {
    this.#closed = true;
    // Node.js and native addons abort the process when a thread is ended in the middle of loading. Without work
    // a thread does not keep the process going, which would end before the thread has said that it is loaded.
    for (const thread of this.#pool.threads) thread.ref();
    await this.#loaded;
    await this.#pool.destroy();
  }

  async #run<Answer extends Exclude<WorkAnswer, Examined>>(
    item: WorkItem | ComparisonItem,
    guestOffset: number,
  ): Promise<FromWorker<Answer>> {
    const answer = await this.#answer<Answer>(item, guestOffset);
    const unreadable = answer.unreadable.map(({ at, length, failure }) => ({
      guestOffset: guestOffset + at,
      length,
      error: failureError(failure, guestOffset, this.#fileOf),
    }));
    return { ...answer, bytes: this.#slotOf(this.#results, item.slot), unreadable };
  }

  async #answer<Answer extends WorkAnswer>(item: PoolItem, guestOffset: number): Promise<Answer> {
    let result: Answer | { readonly failure: ItemFailure };
    try {
      // Nobody would ever take it.
      if (this.#pool.threads.length === 0) throw new Error('no worker thread is left');
      result = await this.#pool.run(item);
    } catch (error) {
      const cause = this.#lost ?? error;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Qcow2cError('ERR_WORKER', `A worker failed at guest offset ${guestOffset}: ${reason}`, {
        offset: guestOffset,
        cause,
      });
    }
    if ('failure' in result) throw failureError(result.failure, guestOffset, this.#fileOf);
    return result;
  }

  #slotOf(memory: Uint8Array, slot: number): Uint8Array {
    return memory.subarray(slot * this.#itemSize, (slot + 1) * this.#itemSize);
  }
}
