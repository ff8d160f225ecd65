/**
 * The compressed write cache. Compressed clusters are short writes at odd offsets; the cache collects them by host
 * cluster and writes each host cluster once, whole and aligned, as soon as it is finished. Nothing is read back. The
 * cache knows a Storage and a cluster size, not qcow2. docs/write-cache.md describes it; the idea is from
 * V. Sementsov-Ogievskiy's series for QEMU (2021).
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { internalError } from '../errors.js';
import { alignedMemory } from '../system/aligned-memory.js';
import { CacheSlots } from './cache-slots.js';
import { CachedHostCluster } from './cached-host-cluster.js';
import type { Storage } from './storage.js';
import { UnalignedWriter } from './unaligned-writer.js';
import { WriteQueue, type WriteQueueOwner } from './write-queue.js';

/** Bytes for one host cluster. */
interface Part {
  readonly index: number;
  /** From the host cluster's start, in bytes. */
  readonly start: number;
  readonly part: Uint8Array;
}

export class CompressedWriteCache implements WriteQueueOwner {
  readonly #storage: Storage;
  readonly #clusterSize: number;
  readonly #clusters = new Map<number, CachedHostCluster>();
  readonly #queue: WriteQueue;
  readonly #straight: UnalignedWriter;
  readonly #slots: CacheSlots;
  #failure: { readonly error: unknown } | undefined;
  #stopping: Promise<void> | undefined;
  #stopped: boolean;

  /**
   * @param storage where host clusters go
   * @param clusterSize bytes of a host cluster, a power of two and a multiple of the storage's alignment
   * @param cacheSize bytes of host clusters held at most; 0: bypass, every write goes straight to the storage
   * @throws RangeError when cacheSize is neither 0 nor at least one cluster, or is more than the memory of the machine
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
    this.#slots = new CacheSlots(clusterSize, cacheSize);
    this.#stopped = cacheSize === 0;
    this.#queue = new WriteQueue(storage, clusterSize, this);
    this.#straight = new UnalignedWriter(storage);
  }

  /**
   * Takes one compressed cluster: 0 < length < cluster size; it may span two host clusters. Resolves when the bytes
   * are copied, or written when the cache is bypassed. While all slots are lent, writes wait in the order of their
   * calls. Any number of callers at once.
   * @throws RangeError for a length or offset out of bounds
   * @throws Qcow2cError ERR_INTERNAL for bytes written twice or past a data end
   * @throws the first failed write's error, from then on
   */
  write(offset: number, bytes: Uint8Array): Promise<void> {
    return this.writeRun(offset, [bytes.length], bytes);
  }

  /**
   * Takes compressed clusters that lie one after the other, as `write` takes each, but copies them together. When one
   * of them is refused, none is taken.
   * @param offset of the first, in bytes
   * @param lengths of each, in bytes
   * @param bytes of all; their lengths' sum
   * @throws as `write`
   */
  async writeRun(offset: number, lengths: ArrayLike<number>, bytes: Uint8Array): Promise<void> {
    this.#refuseBadRun(offset, lengths, bytes);
    this.#throwIfFailed();
    if (this.#stopped) return this.#writeEachStraight(offset, lengths, bytes);
    const parts = this.#partsOf(offset, bytes);
    if (parts.length > 1) {
      for (const { index, start, part } of parts) {
        this.#clusters.get(index)?.refuseOverlap(start, start + part.length);
      }
    }
    // No part waits for the one before: that may wait for a slot that only a later part can free.
    const waits: Promise<void>[] = [];
    for (const { index, start, part } of parts) {
      if (!this.#storeNow(index, start, part)) waits.push(this.#store(index, start, part));
    }
    this.#queue.start();
    if (waits.length > 0) await Promise.all(waits);
  }

  /**
   * Returns the content that the file has after a flush: cached host clusters, the storage's bytes elsewhere, and zeros
   * past its end.
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
   * Declares that nothing will be written to this host cluster past `end`. Needs no slot and never waits.
   * @param hostCluster index, named explicitly: an end on a boundary cannot be taken for the next cluster's
   * @param end bytes from the host cluster's start
   * @throws Qcow2cError ERR_INTERNAL when set twice, out of bounds, or below the bytes that are already there
   */
  setDataEnd(hostCluster: number, end: number): void {
    if (this.#stopped) return;
    const cluster = this.#clusters.get(hostCluster) ?? this.#add(hostCluster);
    cluster.setDataEnd(end);
    this.#enqueueIfFinished(cluster);
    this.#queue.start();
  }

  /**
   * Writes everything that was accepted before the call. Unfinished host clusters are written as they are and stay
   * cached, so that later bytes rewrite them whole.
   * @throws the first failed write's error
   */
  async flush(): Promise<void> {
    this.#throwIfFailed();
    for (const cluster of this.#clusters.values()) {
      if (cluster.changed && cluster.state === 'open') this.#queue.enqueue(cluster);
    }
    this.#queue.start();
    const underWay = [...this.#clusters.values()].flatMap(({ written }) => written?.promise ?? []);
    // All of them, also when one fails: the caller may close the file next, and must not do so under a write.
    await Promise.allSettled(underWay);
    this.#throwIfFailed();
  }

  /**
   * Flushes, gives all memory back and caches no more: later writes go straight to the storage. Writes that arrive
   * meanwhile wait until it ends. When the flush fails the cache is as before.
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
   * @throws RangeError for less than one cluster or more than the memory of the machine; the size is then as before
   */
  setCacheSize(bytes: number): void {
    this.#slots.resize(bytes);
  }

  /**
   * Forgets a host cluster and its data end without writing it: its refcount went to zero. A write of it that is
   * in flight ends first.
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
   * Ends the use of the cache; every later call is refused.
   * @throws Qcow2cError ERR_INTERNAL when it holds unwritten bytes or a write waits, and no write has failed
   */
  free(): void {
    const holding = [...this.#clusters.values()].find(
      ({ changed, written, slotGranted }) => changed || written !== undefined || slotGranted !== undefined,
    );
    if (holding !== undefined && this.#failure === undefined) {
      throw internalError(
        `the compressed write cache was freed with host cluster ${holding.index} unwritten`,
      );
    }
    this.#failure ??= { error: internalError('the compressed write cache was used after it was freed') };
    this.#clusters.clear();
    this.#slots.free();
  }

  /** For WriteQueue: the clusters are on the descriptor; finished ones leave. */
  wrote(clusters: readonly CachedHostCluster[]): void {
    for (const cluster of clusters) if (cluster.isFinished) this.#remove(cluster);
  }

  /** For WriteQueue: a write failed. Keeps the first error and ends every wait with it. */
  failed(error: unknown): void {
    this.#failure ??= { error };
    for (const { index } of this.#slots.rejectWaiting(error)) this.#clusters.delete(index);
  }

  #refuseBadRun(offset: number, lengths: ArrayLike<number>, bytes: Uint8Array): void {
    const isInFile = Number.isSafeInteger(offset) && offset >= 0;
    let sum = 0;
    for (let index = 0; index < lengths.length; index += 1) {
      const length = lengths[index] ?? 0;
      if (!(isInFile && length > 0 && length < this.#clusterSize)) {
        throw new RangeError(`a compressed cluster of ${length} bytes at offset ${offset + sum}`);
      }
      sum += length;
    }
    if (sum === 0 || sum !== bytes.length) {
      throw new RangeError(
        `${bytes.length} bytes for compressed clusters of ${sum} bytes at offset ${offset}`,
      );
    }
  }

  /** The bytes, host cluster by host cluster. */
  #partsOf(offset: number, bytes: Uint8Array): Part[] {
    const parts: Part[] = [];
    let index = Math.floor(offset / this.#clusterSize);
    let start = offset % this.#clusterSize;
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + this.#clusterSize - start);
      parts.push({ index, start, part });
      at += part.length;
      index += 1;
      start = 0;
    }
    return parts;
  }

  /** Copies bytes of one host cluster into its slot. @returns false when this must wait, and nothing has changed */
  #storeNow(index: number, start: number, bytes: Uint8Array): boolean {
    if (this.#failure !== undefined || this.#stopping !== undefined || this.#stopped) return false;
    const cluster = this.#clusters.get(index) ?? this.#add(index);
    cluster.refuseOverlap(start, start + bytes.length);
    if (cluster.state === 'writing') return false;
    if (cluster.memory === undefined && !this.#slots.takeFree(cluster)) return false;
    cluster.fill(start, bytes);
    this.#enqueueIfFinished(cluster);
    return true;
  }

  /** Copies bytes of one host cluster into its slot, once it has one and no write of it is in flight. */
  async #store(index: number, start: number, bytes: Uint8Array): Promise<void> {
    while (!this.#storeNow(index, start, bytes)) {
      this.#throwIfFailed();
      const cluster = this.#clusters.get(index);
      if (this.#stopping !== undefined) {
        await this.#stopping.catch(() => {});
      } else if (this.#stopped) {
        return this.#writeStraight(index * this.#clusterSize + start, bytes);
      } else if (cluster?.state === 'writing') {
        // Two writes in flight that share a sector would lose one of them.
        await cluster.written?.promise;
      } else if (cluster !== undefined) {
        await this.#slots.request(cluster);
      }
    }
    this.#queue.start();
  }

  async #writeEachStraight(offset: number, lengths: ArrayLike<number>, bytes: Uint8Array): Promise<void> {
    for (let cluster = 0, at = 0; cluster < lengths.length; cluster += 1) {
      const payload = bytes.subarray(at, at + (lengths[cluster] ?? 0));
      for (const { index, start, part } of this.#partsOf(offset + at, payload)) {
        await this.#writeStraight(index * this.#clusterSize + start, part);
      }
      at += payload.length;
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

  #enqueueIfFinished(cluster: CachedHostCluster): void {
    if (cluster.state !== 'open' || !cluster.isFinished) return;
    if (cluster.changed) {
      this.#queue.enqueue(cluster);
    } else {
      // A flush has written every byte of it.
      this.#remove(cluster);
    }
  }

  #add(index: number): CachedHostCluster {
    const cluster = new CachedHostCluster(index, this.#clusterSize);
    this.#clusters.set(index, cluster);
    return cluster;
  }

  #forget(cluster: CachedHostCluster): void {
    if (cluster.state === 'queued') this.#queue.withdraw(cluster);
    this.#remove(cluster);
  }

  #remove(cluster: CachedHostCluster): void {
    this.#clusters.delete(cluster.index);
    this.#slots.release(cluster);
  }

  async #stop(): Promise<void> {
    await this.flush();
    for (const cluster of [...this.#clusters.values()]) this.#forget(cluster);
    this.#stopped = true;
    this.#slots.free();
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

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
