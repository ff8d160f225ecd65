/**
 * Sends host clusters of the compressed write cache to the storage. Clusters wait in order until a writer is free, and
 * contiguous ones leave as one larger write.
 */
import { type CachedHostCluster, signal } from './cached-host-cluster.js';
import type { Storage } from './storage.js';

/** Writes in flight. Two keep the device busy while the next is prepared; more would only merge less. */
const WRITERS = 2;
/** Largest merged write in bytes: above about 2 MiB no disk measured gets faster. */
const LARGEST_WRITE = 2 * 1024 * 1024;
/** Most buffers in one write: IOV_MAX of Linux and macOS. */
const MOST_BUFFERS = 1024;
/** Finished clusters are rounded up to at least this many bytes: the page of every disk. */
const SMALLEST_UNIT = 4096;

/** Receives the outcome of each write. */
export interface WriteQueueOwner {
  /** The clusters are on the descriptor; called before `written` of each is settled. */
  wrote(clusters: readonly CachedHostCluster[]): void;
  /** A write failed; called before `written` of each is rejected with the same error, the first of all. */
  failed(error: unknown): void;
}

/** The clusters of one write. */
interface Run {
  readonly clusters: readonly CachedHostCluster[];
  readonly buffers: readonly Uint8Array[];
}

export class WriteQueue {
  readonly #storage: Storage;
  readonly #clusterSize: number;
  readonly #owner: WriteQueueOwner;
  readonly #queue = new Map<number, CachedHostCluster>();
  #busy = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(storage: Storage, clusterSize: number, owner: WriteQueueOwner) {
    this.#storage = storage;
    this.#clusterSize = clusterSize;
    this.#owner = owner;
  }

  /** A host cluster that is written now is rounded up to a multiple of this many bytes. */
  get unit(): number {
    return Math.min(Math.max(SMALLEST_UNIT, this.#storage.alignment), this.#clusterSize);
  }

  /** Takes an open cluster; its `written` is set and settles when the write ends. Call `start` afterwards. */
  enqueue(cluster: CachedHostCluster): void {
    cluster.state = 'queued';
    cluster.written = signal();
    this.#queue.set(cluster.index, cluster);
  }

  /** Takes a queued cluster back, unwritten. */
  withdraw(cluster: CachedHostCluster): void {
    this.#queue.delete(cluster.index);
    cluster.state = 'open';
    cluster.written?.resolve();
    cluster.written = undefined;
  }

  /** Writes while a writer is free. Call it once for clusters that are enqueued together, so that they leave together. */
  start(): void {
    while (this.#busy < WRITERS && this.#queue.size > 0 && this.#failure === undefined) {
      const run = this.#takeRun();
      this.#busy += 1;
      // Never rejects: a failure goes to the owner and to each cluster's `written`.
      void this.#send(run);
    }
  }

  /** Takes the first of the queue and the contiguous clusters behind it; only the last may be partly filled. */
  #takeRun(): Run {
    const { unit } = this;
    const clusters: CachedHostCluster[] = [];
    const buffers: Uint8Array[] = [];
    let length = 0;
    let [next] = this.#queue.values();
    while (next !== undefined && buffers.length < MOST_BUFFERS) {
      const image = next.image(unit);
      if (clusters.length > 0 && length + image.length > LARGEST_WRITE) break;
      this.#queue.delete(next.index);
      next.state = 'writing';
      next.changed = false;
      clusters.push(next);
      buffers.push(image);
      length += image.length;
      next = image.length === this.#clusterSize ? this.#queue.get(next.index + 1) : undefined;
    }
    return { clusters, buffers };
  }

  async #send({ clusters, buffers }: Run): Promise<void> {
    const offset = (clusters[0]?.index ?? 0) * this.#clusterSize;
    let failure: { readonly error: unknown } | undefined;
    try {
      await this.#storage.write(offset, buffers);
    } catch (error) {
      // Every write rejects with the first error, also one that failed later.
      this.#failure ??= { error };
      failure = this.#failure;
    }
    this.#busy -= 1;
    const waiters = clusters.map((cluster) => cluster.written);
    for (const cluster of clusters) {
      cluster.state = 'open';
      cluster.written = undefined;
      if (failure !== undefined) cluster.changed = true;
    }
    if (failure === undefined) {
      this.#owner.wrote(clusters);
      for (const waiter of waiters) waiter?.resolve();
    } else {
      this.#owner.failed(failure.error);
      for (const cluster of this.#queue.values()) {
        waiters.push(cluster.written);
        cluster.state = 'open';
        cluster.written = undefined;
      }
      this.#queue.clear();
      for (const waiter of waiters) waiter?.reject(failure.error);
    }
    this.start();
  }
}
