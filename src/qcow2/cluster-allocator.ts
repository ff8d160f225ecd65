/**
 * Hands out the image file's space, upwards only: byte after byte to the stream of compressed clusters,
 * in runs of whole clusters to everything else, and counts the references. Decides alone, from the order
 * of the calls, so the same calls always give the same layout.
 */
import { internalError } from '../errors.js';
import { roundDown, roundUp } from '../storage/aligned-memory.js';
import { type HostCluster, type HostOffset, hostCluster, hostOffset } from './addresses.js';
import type { FreeRange } from './free-range.js';
import type { Geometry } from './geometry.js';
import type { Refcounts } from './refcounts.js';

/** What the allocator tells the compressed write cache. */
export interface StreamObserver {
  /** Nothing will be written to this unit (index) past `end` (bytes from its start). Must not wait. */
  setDataEnd(unit: number, end: number): void;
}

/** Space for one compressed cluster. */
export interface StreamPlace {
  readonly offset: HostOffset;
  /** Bytes before it, in the same unit, that belong to nobody and have to be filled with zeros. */
  readonly padding: number;
}

export class ClusterAllocator {
  readonly #geometry: Geometry;
  /**
   * The unit of allocation in bytes: a cluster, or as many as fill one aligned write. Runs and the
   * stream never share a unit, so an aligned write never holds bytes of both.
   */
  readonly #unit: number;
  readonly #refcounts: Refcounts;
  readonly #stream: StreamObserver;
  /** Free space above the range that is being handed out, in order; the last range has no end. */
  readonly #free: FreeRange[];
  /** Start of the space that nobody has; a multiple of the unit. */
  #nextFree: number;
  /** Where the range ends that `#nextFree` is in. */
  #rangeEnd: number;
  /** Where the next compressed cluster may go on, and the end of what the stream owns there. */
  #cursor: number;
  #streamEnd: number;

  /**
   * @param firstFree bytes at the start of the file that are taken already, a multiple of the unit
   * @param free the free ranges of a file that holds something further on, in ascending order, the first from
   *   `firstFree` on; default: all of the file from there on
   */
  constructor(
    geometry: Geometry,
    unit: number,
    firstFree: number,
    refcounts: Refcounts,
    stream: StreamObserver,
    free: readonly FreeRange[] = [{ from: firstFree, to: Number.POSITIVE_INFINITY }],
  ) {
    this.#geometry = geometry;
    this.#unit = unit;
    this.#refcounts = refcounts;
    this.#stream = stream;
    this.#free = free.slice(1);
    this.#nextFree = firstFree;
    this.#rangeEnd = free[0]?.to ?? Number.POSITIVE_INFINITY;
    this.#cursor = firstFree;
    this.#streamEnd = firstFree;
  }

  /** No reference to a cluster below this one will be counted any more. */
  get settledBelow(): HostCluster {
    const open = this.#cursor < this.#streamEnd ? roundDown(this.#cursor, this.#unit) : this.#nextFree;
    return hostCluster(Math.floor(open / this.#geometry.clusterSize));
  }

  /** The first host cluster that nobody has. */
  get firstFree(): HostCluster {
    return hostCluster(this.#nextFree / this.#geometry.clusterSize);
  }

  /**
   * Takes space for one compressed cluster: the very next bytes of the stream, in the next host cluster
   * when this one's refcount is at its maximum, or in new space when the stream was interrupted and the
   * rest of its host cluster is too small. Specification: "Compressed Clusters Descriptor"; QEMU:
   * qcow2_alloc_bytes.
   * @param length bytes, below the cluster size
   */
  allocateBytes(length: number): StreamPlace {
    const { clusterSize, refcountMax } = this.#geometry;
    const before = this.#cursor;
    let at = before;
    if (at % clusterSize !== 0 && this.#refcounts.get(this.#clusterAt(at)) >= refcountMax) {
      at = roundUp(at, clusterSize);
    }
    if (at + length > this.#streamEnd) {
      const continues = this.#streamEnd === this.#nextFree && at + length <= this.#rangeEnd;
      if (!continues) at = this.#makeRoom(length);
      this.#streamEnd = roundUp(at + length, this.#unit);
      this.#nextFree = this.#streamEnd;
    }
    const sameUnit = roundDown(before, this.#unit) === roundDown(at, this.#unit);
    if (!sameUnit) this.#leaveUnit(before);
    for (let cluster: number = this.#clusterAt(at); cluster * clusterSize < at + length; cluster += 1) {
      this.#refcounts.increment(hostCluster(cluster));
    }
    this.#cursor = at + length;
    return { offset: hostOffset(at), padding: sameUnit ? at - before : 0 };
  }

  /** Takes `clusters` contiguous host clusters, each referenced once. @returns where they begin */
  allocateRun(clusters: number): HostOffset {
    const { clusterSize } = this.#geometry;
    const offset = hostOffset(this.#makeRoom(clusters * clusterSize));
    this.#nextFree = roundUp(offset + clusters * clusterSize, this.#unit);
    for (let index = 0; index < clusters; index += 1) {
      this.#refcounts.increment(hostCluster(offset / clusterSize + index));
    }
    return offset;
  }

  /** Ends the stream: no compressed cluster will follow. */
  endStream(): void {
    this.#leaveUnit(this.#cursor);
    this.#cursor = this.#streamEnd;
  }

  /** Goes on to the first free range that has room for `length` bytes. @returns where they may begin */
  #makeRoom(length: number): number {
    while (this.#nextFree + length > this.#rangeEnd) {
      const next = this.#free.shift();
      if (next === undefined) throw internalError(`no room for ${length} bytes behind the end of the file`);
      this.#nextFree = next.from;
      this.#rangeEnd = next.to;
    }
    return this.#nextFree;
  }

  /** Tells the observer where the data of the unit that holds `cursor` ends, unless it is full. */
  #leaveUnit(cursor: number): void {
    const start = roundDown(cursor, this.#unit);
    if (cursor > start) this.#stream.setDataEnd(start / this.#unit, cursor - start);
  }

  #clusterAt(offset: number): HostCluster {
    return hostCluster(Math.floor(offset / this.#geometry.clusterSize));
  }
}
