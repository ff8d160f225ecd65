/**
 * The memory of the compressed write cache: slots of one host cluster each. A host cluster gets a slot when its first
 * bytes arrive and keeps it until it leaves. When all slots are lent, host clusters wait in order.
 */
import { AlignedSlab } from '../system/aligned-memory.js';
import { type CachedHostCluster, signal } from './cached-host-cluster.js';

export class CacheSlots {
  readonly #clusterSize: number;
  readonly #waiting: CachedHostCluster[] = [];
  #slab: AlignedSlab | undefined;
  /** The most slots to be lent at once. */
  #limit: number;
  /** Slots in the slab. */
  #capacity: number;
  /** Slots lent now. */
  #lent = 0;

  /**
   * @param clusterSize bytes of a slot
   * @param bytes of all slots; 0: no slots
   * @throws RangeError for less than one slot, or more than the memory of the machine
   */
  constructor(clusterSize: number, bytes: number) {
    this.#clusterSize = clusterSize;
    this.#limit = bytes === 0 ? 0 : this.#slotsIn(bytes);
    this.#capacity = this.#limit;
    // Allocated here, so that too large a size is refused now and not at a write. Unused pages cost nothing.
    if (bytes > 0) this.#slab = new AlignedSlab(this.#capacity, clusterSize);
  }

  /**
   * Shrinking takes effect as host clusters leave.
   * @throws RangeError for less than one slot, or more than the memory of the machine; the size is then as before
   */
  resize(bytes: number): void {
    const limit = this.#slotsIn(bytes);
    if (limit > this.#capacity) {
      this.#slab?.grow(limit - this.#capacity);
      this.#capacity = limit;
    }
    this.#limit = limit;
    this.#grant();
  }

  /** Gives the host cluster a slot if one is free and no other waits. @returns whether it has one */
  takeFree(cluster: CachedHostCluster): boolean {
    if (this.#waiting.length > 0 || this.#lent >= this.#limit) return false;
    cluster.memory = this.#slab?.take();
    this.#lent += 1;
    return true;
  }

  /** Asks for a slot. @returns undefined when the host cluster has it now; otherwise settles when the wait ends */
  request(cluster: CachedHostCluster): Promise<void> | undefined {
    if (cluster.slotGranted === undefined) {
      cluster.slotGranted = signal();
      this.#waiting.push(cluster);
      this.#grant();
    }
    return cluster.slotGranted?.promise;
  }

  /** Takes back the slot of a host cluster that leaves, or ends its wait for one. */
  release(cluster: CachedHostCluster): void {
    const index = this.#waiting.indexOf(cluster);
    if (index !== -1) this.#waiting.splice(index, 1);
    cluster.slotGranted?.resolve();
    if (cluster.memory !== undefined) {
      this.#slab?.giveBack(cluster.memory);
      cluster.memory = undefined;
      this.#lent -= 1;
    }
    this.#grant();
  }

  /** Ends every wait with an error. @returns the host clusters that waited */
  rejectWaiting(error: unknown): readonly CachedHostCluster[] {
    const waited = this.#waiting.splice(0);
    for (const { slotGranted } of waited) slotGranted?.reject(error);
    return waited;
  }

  /** Gives the memory back. */
  free(): void {
    this.#slab = undefined;
  }

  #grant(): void {
    while (this.#lent < this.#limit && this.#waiting.length > 0) {
      const cluster = this.#waiting.shift();
      if (cluster === undefined) return;
      cluster.memory = this.#slab?.take();
      this.#lent += 1;
      cluster.slotGranted?.resolve();
      cluster.slotGranted = undefined;
    }
  }

  #slotsIn(bytes: number): number {
    const slots = Math.floor(bytes / this.#clusterSize);
    if (!Number.isSafeInteger(slots) || slots < 1) {
      throw new RangeError(`a cache of ${bytes} bytes holds no cluster of ${this.#clusterSize} bytes`);
    }
    return slots;
  }
}
