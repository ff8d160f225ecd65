/**
 * The worker threads of one run and the memory that they share with the main thread. Generic over the task: the setup
 * selects it, and items and answers follow from it. Threads and memory are used again by the next pool. The caller
 * decides about the order of items and about how many are in flight. Each item has a slot until the caller has used its
 * result.
 */
import { internalError, Qcow2cError } from '../errors.js';
import { openExports } from '../nbd/open-exports.js';
import { sharedAlignedMemory } from '../system/aligned-memory.js';
import { BufferPool } from '../system/buffer-pool.js';
import { acquireThreads, releaseThread } from './idle-threads.js';
import { type FileOf, failureError, unreadableRange } from './item-failure.js';
import { type PoolSharedMemory, storesResults } from './messages/task.js';
import type { AnyTask, ItemReply } from './messages/thread.js';
import type { OwnThread } from './own-thread.js';
import type { UnreadableRange } from './unreadable-range.js';
import type { WorkerThread } from './worker-thread.js';

/** Of this process, for results and for arrivals. */
const sharedMemory = new BufferPool<SharedArrayBuffer>(sharedAlignedMemory);
/** Items that a thread has at most: the one that it works on, and the next, so that it need not wait for the main thread. */
const ITEMS_AT_ONCE = 2;
const NO_MEMORY = new SharedArrayBuffer(0);

export interface PoolOptions<Task extends AnyTask> {
  /** The worker's module. */
  readonly workerEntry: URL;
  /** At most; there are fewer where the system cannot start more. */
  readonly threads: number;
  /** Items in flight at most. */
  readonly slots: number;
  readonly setup: Task['setup'];
  /** Names the file behind a descriptor, for messages. */
  readonly fileOf: FileOf;
  /** Whether items arrive in memory, see `arrivalSlot`. Default: false. */
  readonly arrivals?: boolean;
  /** Works on the items instead of threads of their own. */
  readonly ownThread?: OwnThread | undefined;
}

/** The answer for an item. */
export type ItemResult<Task extends AnyTask> = Omit<Task['answer'], 'unreadable'> & {
  /** The whole slot of the item, in the memory of the results; empty for a task without. */
  readonly bytes: Uint8Array;
  /** Ascending. Without salvage: malformed payloads that were read all the same. */
  readonly unreadable: readonly UnreadableRange[];
};

/** An item that waits for a thread, or that a thread works on. */
interface Job {
  readonly item: AnyTask['item'];
  resolve(reply: unknown): void;
  reject(reason: unknown): void;
}

export class WorkerPool<Task extends AnyTask> {
  /** Acquired threads, also those that were lost since. */
  readonly #threads: readonly (WorkerThread | OwnThread)[];
  /** Why there are fewer threads than requested. */
  readonly threadsRefused: Qcow2cError | undefined;
  /** Threads that are set up, and how many items each has. */
  readonly #ready = new Map<WorkerThread | OwnThread, number>();
  /** Threads that take further items. */
  #usable: number;
  readonly #waiting: Job[] = [];
  readonly #memory: PoolSharedMemory;
  readonly #itemSize: number;
  readonly #fileOf: FileOf;
  /** Why the first thread was lost: it threw, or ended. */
  #lost: { readonly reason: unknown } | undefined;
  #closed = false;

  /** @throws Qcow2cError ERR_IO when no thread can be started: no descriptors (EMFILE) or threads (EAGAIN) are left */
  constructor({
    workerEntry,
    threads,
    slots,
    setup,
    fileOf,
    arrivals = false,
    ownThread,
  }: PoolOptions<Task>) {
    this.#itemSize = setup.itemSize;
    this.#fileOf = fileOf;
    const bytes = slots * setup.itemSize;
    const taken: SharedArrayBuffer[] = [];
    const take = (isNeeded: boolean): SharedArrayBuffer => {
      if (!isNeeded) return NO_MEMORY;
      const memory = sharedMemory.take(bytes);
      taken.push(memory);
      return memory;
    };
    try {
      this.#memory = {
        results: take(storesResults(setup.task)),
        arrivals: take(arrivals || ownThread !== undefined),
        cancellation: new Int32Array(new SharedArrayBuffer(4)),
      };
      const acquired =
        ownThread === undefined
          ? acquireThreads(workerEntry, threads)
          : { threads: [ownThread], refused: undefined };
      this.#threads = acquired.threads;
      this.threadsRefused = acquired.refused;
    } catch (error) {
      void ownThread?.end();
      for (const memory of taken) sharedMemory.giveBack(memory);
      throw error;
    }
    this.#usable = this.#threads.length;
    const whole = { ...setup, exports: openExports() };
    for (const thread of this.#threads) void this.#prepare(thread, whole);
  }

  /** How many threads there are. */
  get threads(): number {
    return this.#threads.length;
  }

  /**
   * The whole slot in which an item of a stream is handed to a worker (segments of the kind `arrived`). Only of a pool
   * with arrivals.
   */
  arrivalSlot(slot: number): Uint8Array {
    const { arrivals } = this.#memory;
    if (arrivals === NO_MEMORY) throw internalError('a pool without arrivals was asked for a slot');
    return this.#slotOf(arrivals, slot);
  }

  /**
   * @param guestOffset start of the item, in bytes, for messages
   * @throws Qcow2cError ERR_IO or ERR_SOURCE_CHANGED for a failed read, ERR_CORRUPT for a damaged payload,
   *   ERR_WORKER when the worker threw or ended
   */
  async run(item: Task['item'], guestOffset: number): Promise<ItemResult<Task>> {
    let reply: ItemReply<Task['answer']>;
    try {
      reply = await this.#reply(item);
    } catch (error) {
      const cause = this.#lost === undefined ? error : this.#lost.reason;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Qcow2cError('ERR_WORKER', `A worker failed at guest offset ${guestOffset}: ${reason}`, {
        guestOffset,
        cause,
      });
    }
    if ('failure' in reply) throw failureError(reply.failure, guestOffset, this.#fileOf);
    const { unreadable, ...answer } = reply;
    return {
      ...answer,
      bytes: this.#slotOf(this.#memory.results, item.slot),
      unreadable: unreadable.map((range) => unreadableRange(range, guestOffset, this.#fileOf)),
    };
  }

  /** Releases all threads, also in the middle of an item. */
  async close(): Promise<void> {
    this.#closed = true;
    Atomics.store(this.#memory.cancellation, 0, 1);
    this.#rejectWaiting(new Error('the pool was closed'));
    await Promise.all(this.#threads.map((thread) => releaseThread(thread, this.#lost === undefined)));
    sharedMemory.giveBack(this.#memory.results);
    sharedMemory.giveBack(this.#memory.arrivals);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #reply(item: Task['item']): Promise<ItemReply<Task['answer']>> {
    return new Promise((resolve, reject) => {
      // A thread answers an item as its setup's task does.
      this.#waiting.push({ item, resolve: (reply) => resolve(reply as ItemReply<Task['answer']>), reject });
      this.#handOut();
    });
  }

  /** Gives items to threads, the oldest first: it is the one the caller waits for. */
  #handOut(): void {
    if (this.#usable === 0 || this.#closed) this.#rejectWaiting(this.#lost?.reason);
    for (;;) {
      const [thread, job] = [this.#freest(), this.#waiting[0]];
      if (thread === undefined || job === undefined) return;
      this.#waiting.shift();
      void this.#work(thread, job);
    }
  }

  /** The thread with the fewest items; undefined if all have enough. */
  #freest(): WorkerThread | OwnThread | undefined {
    let fewest = ITEMS_AT_ONCE;
    let freest: WorkerThread | OwnThread | undefined;
    for (const [thread, items] of this.#ready) {
      if (items >= fewest) continue;
      fewest = items;
      freest = thread;
    }
    return freest;
  }

  async #prepare(thread: WorkerThread | OwnThread, setup: Task['setup']): Promise<void> {
    try {
      await thread.ask({ kind: 'setup', setup, memory: this.#memory });
      this.#ready.set(thread, 0);
    } catch (error) {
      this.#lose(error);
    }
    this.#handOut();
  }

  async #work(thread: WorkerThread | OwnThread, { item, resolve, reject }: Job): Promise<void> {
    this.#ready.set(thread, (this.#ready.get(thread) ?? 0) + 1);
    try {
      resolve(await thread.ask({ kind: 'item', item }));
      const items = this.#ready.get(thread);
      if (items !== undefined) this.#ready.set(thread, items - 1);
    } catch (error) {
      if (this.#ready.delete(thread)) this.#lose(error);
      reject(error);
    }
    this.#handOut();
  }

  /** A thread that threw gets no other item and is not replaced: the run fails with it. */
  #lose(reason: unknown): void {
    this.#usable -= 1;
    if (!this.#closed) this.#lost ??= { reason };
  }

  #rejectWaiting(reason: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
  }

  #slotOf(memory: SharedArrayBuffer, slot: number): Uint8Array {
    return new Uint8Array(memory).subarray(slot * this.#itemSize, (slot + 1) * this.#itemSize);
  }
}
