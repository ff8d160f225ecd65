/**
 * The compressed write cache: gathers compressed clusters, small writes at odd offsets, in the host
 * clusters they fall into and sends each host cluster once, whole and aligned, as soon as it is
 * finished. Nothing is read back to be completed. Knows a Storage and a cluster size, not qcow2.
 * docs/write-cache.md says how it works and why; idea: V. Sementsov-Ogievskiy's series for QEMU (2021).
 */

import { roundDown, roundUp } from '../arithmetic.js';
import { internalError } from '../errors.js';
import { AlignedSlab, alignedMemory } from '../system/aligned-memory.js';
import { CachedHostCluster, signal } from './cached-host-cluster.js';
import type { Storage } from './storage.js';
import { UnalignedWriter } from './unaligned-writer.js';
import { WriteQueue, type WriteQueueOwner } from './write-queue.js';

export class CompressedWriteCache implements WriteQueueOwner {
  readonly #storage: Storage;
  readonly #clusterSize: number;
  readonly #clusters = new Map<number, CachedHostCluster>();
  readonly #queue: WriteQueue;
  readonly #straight: UnalignedWriter;
  /** Clusters that wait for a place, in the order they asked. */
  readonly #waiting: CachedHostCluster[] = [];
  #slab: AlignedSlab | undefined;
  /** Most places lent at once, how many the slab has, and how many are lent. */
  #limit: number;
  #places: number;
  #lent = 0;
  #failure: { readonly error: unknown } | undefined;
  #stopping: Promise<void> | undefined;
  #stopped: boolean;

  /**
   * @param storage where host clusters go
   * @param clusterSize bytes of a host cluster, a power of two and a multiple of the storage's alignment
   * @param cacheSize bytes of host clusters held at most; 0 = bypass, every write goes straight through
   * @throws RangeError when cacheSize is neither 0 nor at least one cluster, or is more than there is memory
   */
  static create(storage: Storage, clusterSize: number, cacheSize: number): CompressedWriteCache {
    return new CompressedWriteCache(storage, clusterSize, cacheSize);
  }

  private constructor(storage: Storage, clusterSize: number, cacheSize: number) {
    if (clusterSize % storage.alignment !== 0) {
      throw new RangeError(`host clusters of ${clusterSize} bytes on an alignment of ${storage.alignment}`);
    }
    this.#storage = storage;
    this.#clusterSize = clusterSize;
    this.#limit = cacheSize === 0 ? 0 : this.#clustersIn(cacheSize);
    this.#places = this.#limit;
    // Now, so that too much is refused here and not at a write; pages cost nothing before their first use.
    this.#slab = cacheSize === 0 ? undefined : new AlignedSlab(this.#places, clusterSize);
    this.#stopped = cacheSize === 0;
    this.#queue = new WriteQueue(storage, clusterSize, this);
    this.#straight = new UnalignedWriter(storage);
  }

  /**
   * Takes one compressed cluster: 0 < length < cluster size; may span two host clusters. Resolves when
   * the bytes are accepted, which means copied (or written, past the cache); waits while the cache is
   * full, behind all who waited before. Any number of callers at once.
   * @throws RangeError for a length or offset out of bounds
   * @throws Qcow2cError ERR_INTERNAL for bytes written twice or past a data end
   * @throws the first failed write's error, from then on
   */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    if (
      bytes.length === 0 ||
      bytes.length >= this.#clusterSize ||
      !Number.isSafeInteger(offset) ||
      offset < 0
    ) {
      throw new RangeError(`a compressed cluster of ${bytes.length} bytes at offset ${offset}`);
    }
    const index = Math.floor(offset / this.#clusterSize);
    const start = offset % this.#clusterSize;
    const room = this.#clusterSize - start;
    if (bytes.length <= room) return this.#store(index, start, bytes);
    this.#clusters.get(index)?.refuseOverlap(start, this.#clusterSize);
    this.#clusters.get(index + 1)?.refuseOverlap(0, bytes.length - room);
    // Each part on its own: the second must not wait while the first needs a place, it may be what frees one.
    await Promise.all([
      this.#store(index, start, bytes.subarray(0, room)),
      this.#store(index + 1, 0, bytes.subarray(room)),
    ]);
  }

  /**
   * What the file would hold once everything is flushed: cached host clusters as they would be written,
   * the storage's bytes elsewhere, zeros past its end.
   * @param maxBytes length of the result
   */
  async read(offset: number, maxBytes: number): Promise<Uint8Array> {
    const { alignment } = this.#storage;
    const from = roundDown(offset, alignment);
    const length = roundUp(offset + maxBytes, alignment) - from;
    // Copied before anything is awaited: a cluster that leaves meanwhile is on the storage by then.
    const cached = this.#cachedWithin(from, from + length);
    const bytes = alignedMemory(length).subarray(0, length);
    const found = await this.#storage.read(from, bytes);
    bytes.fill(0, found);
    for (const { at, image } of cached) {
      const skip = Math.max(0, from - at);
      const target = Math.max(0, at - from);
      bytes.set(image.subarray(skip, skip + length - target), target);
    }
    return bytes.slice(offset - from, offset - from + maxBytes);
  }

  /**
   * Says that nothing will be written to this host cluster past `end`. Needs no place and never waits.
   * @param hostCluster index, named explicitly: an end on a boundary cannot be taken for the next cluster's
   * @param end bytes from the host cluster's start
   * @throws Qcow2cError ERR_INTERNAL when set twice, out of bounds, or below what is already there
   */
  setDataEnd(hostCluster: number, end: number): void {
    if (this.#stopped) return;
    const cluster = this.#clusters.get(hostCluster) ?? this.#add(hostCluster);
    cluster.setDataEnd(end);
    this.#sendIfFinished(cluster);
  }

  /**
   * Everything accepted before the call is on the descriptor when this resolves. Unfinished clusters are
   * written as they are and stay, so that their later bytes rewrite them whole.
   * @throws the first failed write's error
   */
  async flush(): Promise<void> {
    this.#throwIfFailed();
    for (const cluster of this.#clusters.values()) {
      if (cluster.changed && cluster.state === 'open') this.#queue.enqueue(cluster);
    }
    const underWay = [...this.#clusters.values()].flatMap(({ written }) => written?.promise ?? []);
    // All of them, also when one fails: the caller may close the file next, and must not do so under a write.
    await Promise.allSettled(underWay);
    this.#throwIfFailed();
  }

  /**
   * Flushes, releases all memory and caches no more: later writes go straight through. Writes that come
   * meanwhile wait for its end. When the flush fails the cache is as before.
   * @throws the first failed write's error
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop().finally(() => {
      this.#stopping = undefined;
    });
    return this.#stopping;
  }

  /**
   * Sets how many bytes of host clusters are held at most. Shrinking takes effect as clusters leave.
   * @throws RangeError for less than one cluster or more than there is memory; the size is then as before
   */
  setCacheSize(bytes: number): void {
    const limit = this.#clustersIn(bytes);
    if (limit > this.#places) {
      this.#slab?.grow(limit - this.#places);
      this.#places = limit;
    }
    this.#limit = limit;
    this.#grantPlaces();
  }

  /**
   * Forgets a host cluster and its data end without writing it (its refcount went to zero). Waits for a
   * write of it that is under way.
   */
  async drop(hostCluster: number): Promise<void> {
    for (;;) {
      const cluster = this.#clusters.get(hostCluster);
      if (cluster === undefined) return;
      if (cluster.state !== 'writing') return this.#forget(cluster);
      await cluster.written?.promise;
    }
  }

  /**
   * Ends the cache's life; whatever is asked of it afterwards is refused.
   * @throws Qcow2cError ERR_INTERNAL when it still holds bytes, or some wait, and no write has failed
   */
  free(): void {
    const holding = [...this.#clusters.values()].find(
      ({ changed, written, placed }) => changed || written !== undefined || placed !== undefined,
    );
    if (holding !== undefined && this.#failure === undefined) {
      throw internalError(
        `the compressed write cache was freed with host cluster ${holding.index} unwritten`,
      );
    }
    this.#failure ??= { error: internalError('the compressed write cache was used after it was freed') };
    this.#clusters.clear();
    this.#slab = undefined;
  }

  /** For WriteQueue: the clusters are on the descriptor; finished ones leave. */
  wrote(clusters: readonly CachedHostCluster[]): void {
    for (const cluster of clusters) if (cluster.isFinished) this.#remove(cluster);
    this.#grantPlaces();
  }

  /** For WriteQueue: a write failed. The first error is kept, and nobody waits any longer. */
  failed(error: unknown): void {
    this.#failure ??= { error };
    for (const cluster of this.#waiting.splice(0)) {
      this.#clusters.delete(cluster.index);
      cluster.placed?.reject(error);
    }
  }

  /** Copies bytes of one host cluster to their place, once it has one and is not being written. */
  async #store(index: number, start: number, bytes: Uint8Array): Promise<void> {
    for (;;) {
      this.#throwIfFailed();
      if (this.#stopping !== undefined) {
        await this.#stopping.catch(() => {});
      } else if (this.#stopped) {
        return this.#writeStraight(index * this.#clusterSize + start, bytes);
      } else {
        const cluster = this.#clusters.get(index) ?? this.#add(index);
        cluster.refuseOverlap(start, start + bytes.length);
        if (cluster.state === 'writing') {
          // Never beside the write under way: two writes that share a sector would lose one of them.
          await cluster.written?.promise;
        } else if (cluster.memory === undefined) {
          await this.#askForPlace(cluster);
        } else {
          cluster.fill(start, bytes);
          this.#sendIfFinished(cluster);
          return;
        }
      }
    }
  }

  async #writeStraight(offset: number, bytes: Uint8Array): Promise<void> {
    try {
      await this.#straight.write(offset, bytes);
    } catch (error) {
      this.#failure ??= { error };
      this.#throwIfFailed();
    }
  }

  /** @returns a promise when the cluster has to wait for its place, undefined when it has it now */
  #askForPlace(cluster: CachedHostCluster): Promise<void> | undefined {
    if (cluster.placed === undefined) {
      cluster.placed = signal();
      this.#waiting.push(cluster);
      this.#grantPlaces();
    }
    return cluster.placed?.promise;
  }

  /** Gives free places to those who wait, first come first served, and wakes just these. */
  #grantPlaces(): void {
    while (this.#lent < this.#limit && this.#waiting.length > 0) {
      const cluster = this.#waiting.shift();
      if (cluster === undefined) return;
      cluster.memory = this.#slab?.take();
      this.#lent += 1;
      cluster.placed?.resolve();
      cluster.placed = undefined;
    }
  }

  #sendIfFinished(cluster: CachedHostCluster): void {
    if (cluster.state !== 'open' || !cluster.isFinished) return;
    if (cluster.changed) {
      this.#queue.enqueue(cluster);
    } else {
      // A flush has written every byte of it: nothing is left to send.
      this.#remove(cluster);
      this.#grantPlaces();
    }
  }

  #add(index: number): CachedHostCluster {
    const cluster = new CachedHostCluster(index, this.#clusterSize);
    this.#clusters.set(index, cluster);
    return cluster;
  }

  #forget(cluster: CachedHostCluster): void {
    if (cluster.state === 'queued') this.#queue.withdraw(cluster);
    const waiting = this.#waiting.indexOf(cluster);
    if (waiting !== -1) this.#waiting.splice(waiting, 1);
    cluster.placed?.resolve();
    this.#remove(cluster);
    this.#grantPlaces();
  }

  #remove(cluster: CachedHostCluster): void {
    this.#clusters.delete(cluster.index);
    if (cluster.memory === undefined) return;
    this.#slab?.giveBack(cluster.memory);
    cluster.memory = undefined;
    this.#lent -= 1;
  }

  async #stop(): Promise<void> {
    await this.flush();
    for (const cluster of [...this.#clusters.values()]) this.#forget(cluster);
    this.#stopped = true;
    this.#slab = undefined;
  }

  #cachedWithin(from: number, to: number): { readonly at: number; readonly image: Uint8Array }[] {
    const cached = [];
    const last = Math.floor((to - 1) / this.#clusterSize);
    for (let index = Math.floor(from / this.#clusterSize); index <= last; index += 1) {
      const cluster = this.#clusters.get(index);
      if (cluster?.memory === undefined) continue;
      cached.push({ at: index * this.#clusterSize, image: cluster.image(this.#queue.unit).slice() });
    }
    return cached;
  }

  #clustersIn(bytes: number): number {
    const clusters = Math.floor(bytes / this.#clusterSize);
    if (!Number.isSafeInteger(clusters) || clusters < 1) {
      throw new RangeError(`a cache of ${bytes} bytes holds no cluster of ${this.#clusterSize} bytes`);
    }
    return clusters;
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
