/**
 * Allocates the space of the image file, upwards only. Compressed clusters form a stream and get one byte range after
 * another. Normal clusters get runs of whole clusters. L2 tables and refcount blocks get areas of clusters, which lie
 * before the clusters that they point to or count. The allocator also counts the references. The layout depends only on
 * the order of the calls.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { internalError } from '../errors.js';
import { type HostCluster, type HostOffset, hostCluster, hostOffset } from './addresses.js';
import type { FreeRange } from './free-range.js';
import type { Geometry } from './geometry.js';
import type { Refcounts } from './refcounts.js';

/** A new area has room for one table for each eight tables allocated so far, which bounds the unused space. */
const AREA_PART = 8;
/** Least bytes of an area, unless a cluster is larger or no more tables can follow. */
const SMALLEST_AREA = 16 * 1024;
/** Most bytes of an area, unless a cluster is larger. Its tables stay in memory until all of them are complete. */
const LARGEST_AREA = 256 * 1024;

/**
 * Bytes after which the stream does not return to the space that it left. An image that is written from start to end
 * keeps the clusters between in memory. The wasted space is below half a percent.
 */
const LONGEST_INTERRUPTION = 16 * 1024 * 1024;

/** Receives the allocator's decisions. Its methods must not wait. */
interface AllocationObserver {
  /** No byte will be written to this unit (index) past `end` (bytes from its start). */
  setDataEnd(unit: number, end: number): void;
  /** These clusters are a new area of tables. All clusters of the previous area are taken. */
  beginTableArea(offset: HostOffset, clusters: number): void;
}

/** Space for one compressed cluster. */
export interface StreamPlace {
  readonly offset: HostOffset;
  /** Unused bytes before it in the same unit; they must be filled with zeros. */
  readonly padding: number;
}

/** @returns the largest number of clusters in an area of tables */
export function largestArea({ clusterSize }: Geometry, unit: number): number {
  return Math.max(unit, LARGEST_AREA) / clusterSize;
}

export class ClusterAllocator {
  readonly #geometry: Geometry;
  /**
   * The unit of allocation in bytes: a cluster, or as many as fill one aligned write. Runs, tables and the stream
   * never share a unit, so an aligned write never holds bytes of two of them.
   */
  readonly #unit: number;
  readonly #refcounts: Refcounts;
  readonly #observer: AllocationObserver;
  /** Free ranges after the current one, in order; the last range has no end. */
  readonly #free: FreeRange[];
  /** Start of the unallocated space; a multiple of the unit. */
  #nextFree: number;
  /** End of the range that holds `#nextFree`. */
  #rangeEnd: number;
  /** Offset of the next compressed cluster. */
  #cursor: number;
  /** End of the space that the stream has. */
  #streamEnd: number;
  /** Offset of the next table. */
  #nextTable = 0;
  /** End of the current area of tables. */
  #areaEnd = 0;
  /** Tables allocated so far. */
  #tables = 0;
  /** L2 tables that may follow. */
  #further = 0;
  /** End of the last byte in use. */
  #end: number;

  /**
   * @param firstFree bytes at the start of the file that are already taken, a multiple of the unit
   * @param free free ranges of a file with content, in ascending order, starting at `firstFree`; default: the whole
   *   file from there on
   */
  constructor(
    geometry: Geometry,
    unit: number,
    firstFree: number,
    refcounts: Refcounts,
    observer: AllocationObserver,
    free: readonly FreeRange[] = [{ from: firstFree, to: Number.POSITIVE_INFINITY }],
  ) {
    this.#geometry = geometry;
    this.#unit = unit;
    this.#refcounts = refcounts;
    this.#observer = observer;
    this.#free = free.slice(1);
    this.#nextFree = firstFree;
    this.#rangeEnd = free[0]?.to ?? Number.POSITIVE_INFINITY;
    this.#cursor = firstFree;
    this.#streamEnd = firstFree;
    this.#end = firstFree;
  }

  /** References to clusters below this one are final, except for reserved clusters. */
  get settledBelow(): HostCluster {
    const stream = this.#cursor < this.#streamEnd ? roundDown(this.#cursor, this.#unit) : this.#nextFree;
    const tables = this.#nextTable < this.#areaEnd ? this.#nextTable : this.#nextFree;
    return this.#clusterAt(Math.min(stream, tables));
  }

  /** The first unallocated host cluster. */
  get firstFree(): HostCluster {
    return hostCluster(this.#nextFree / this.#geometry.clusterSize);
  }

  /** End of the last byte in use, in bytes. */
  get end(): number {
    return this.#end;
  }

  /**
   * Allocates space for one compressed cluster: the next bytes of the stream. If the refcount of the current host
   * cluster is at its maximum, the stream goes on in the next one. If the stream was interrupted and the rest of its
   * host cluster is too small, it goes on in new space. Specification: "Compressed Clusters Descriptor"; QEMU:
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
      const continues = () => this.#streamEnd === this.#nextFree && at + length <= this.#rangeEnd;
      if (continues()) this.#placeBlocks(length);
      if (!continues()) at = this.#makeRoom(length);
      this.#streamEnd = roundUp(at + length, this.#unit);
      this.#nextFree = this.#streamEnd;
    }
    const sameUnit = roundDown(before, this.#unit) === roundDown(at, this.#unit);
    if (!sameUnit) this.#leaveUnit(before);
    this.#count(at, length);
    this.#cursor = at + length;
    return { offset: hostOffset(at), padding: sameUnit ? at - before : 0 };
  }

  /** Allocates contiguous host clusters with one reference each. @returns the offset of the first */
  allocateRun(clusters: number): HostOffset {
    const offset = this.reserve(clusters);
    this.#count(offset, clusters * this.#geometry.clusterSize);
    return offset;
  }

  /** Allocates contiguous host clusters without counting references. @returns the offset of the first */
  reserve(clusters: number): HostOffset {
    const length = clusters * this.#geometry.clusterSize;
    const offset = hostOffset(this.#makeRoom(length));
    this.#nextFree = roundUp(offset + length, this.#unit);
    if (this.#nextFree - this.#streamEnd > LONGEST_INTERRUPTION) this.endStream();
    return offset;
  }

  /**
   * Counts one reference to each host cluster of a range that was reserved, or that lies before the first free one.
   * @param length bytes
   */
  count(offset: HostOffset, length: number): void {
    if (length === 0) return;
    this.#placeBlock(this.#clusterAt(offset));
    this.#count(offset, length);
  }

  /**
   * Allocates a cluster for an L2 table, with one reference. Must be called before the clusters that the table
   * points to are allocated, so that they lie after it.
   * @param further L2 tables that may follow
   */
  allocateTable(further: number): HostOffset {
    this.#further = further;
    const offset = this.#nextTablePlace();
    this.#placeBlock(this.#clusterAt(offset));
    this.#count(offset, this.#geometry.clusterSize);
    if (this.#cursor < offset) this.endStream();
    return offset;
  }

  /** Ends the stream: later compressed clusters get new space. */
  endStream(): void {
    this.#leaveUnit(this.#cursor);
    this.#cursor = this.#streamEnd;
  }

  /**
   * Allocates the refcount blocks for the next `length` bytes, then finds free space for the bytes.
   * @returns the offset of the space
   */
  #makeRoom(length: number): number {
    for (let before = -1; before !== this.#nextFree; ) {
      this.#advanceToRange(length);
      before = this.#nextFree;
      this.#placeBlocks(length);
    }
    return this.#nextFree;
  }

  /** Moves to the first free range with room for `length` bytes. */
  #advanceToRange(length: number): void {
    while (this.#nextFree + length > this.#rangeEnd) {
      const next = this.#free.shift();
      if (next === undefined) throw internalError(`no room for ${length} bytes after the end of the file`);
      this.#nextFree = next.from;
      this.#rangeEnd = next.to;
    }
  }

  /** Ensures that refcount blocks for the next `length` bytes of free space exist and lie before them. */
  #placeBlocks(length: number): void {
    const reach = this.#geometry.refcountBlockEntries * this.#geometry.clusterSize;
    for (let at = this.#nextFree; at < this.#nextFree + length; ) {
      const cluster = this.#clusterAt(at);
      if (this.#refcounts.isPlaced(cluster)) {
        at = roundDown(at, reach) + reach;
      } else {
        this.#placeBlock(cluster);
        // A new area of tables begins at the start of the free space.
        at = Math.max(at, this.#nextFree);
      }
    }
  }

  /** Allocates the refcount block of `cluster`, and then the block that counts that one. */
  #placeBlock(cluster: HostCluster): void {
    if (this.#refcounts.isPlaced(cluster)) return;
    const offset = this.#nextTablePlace();
    this.#refcounts.place(cluster, offset);
    this.#placeBlock(this.#clusterAt(offset));
    this.#count(offset, this.#geometry.clusterSize);
  }

  #nextTablePlace(): HostOffset {
    const { clusterSize } = this.#geometry;
    if (this.#nextTable === this.#areaEnd) this.#beginArea();
    const offset = hostOffset(this.#nextTable);
    this.#nextTable += clusterSize;
    this.#tables += 1;
    return offset;
  }

  /** Allocates space for tables, limited to the rest of the free range. */
  #beginArea(): void {
    const { clusterSize } = this.#geometry;
    const wanted = Math.max(Math.floor(this.#tables / AREA_PART), SMALLEST_AREA / clusterSize);
    const most = Math.min(largestArea(this.#geometry, this.#unit), 1 + this.#further);
    const length = roundUp(Math.max(1, Math.min(wanted, most)) * clusterSize, this.#unit);
    this.#advanceToRange(this.#unit);
    this.#nextTable = this.#nextFree;
    this.#nextFree += Math.min(length, this.#rangeEnd - this.#nextFree);
    this.#areaEnd = this.#nextFree;
    this.#observer.beginTableArea(
      hostOffset(this.#nextTable),
      (this.#areaEnd - this.#nextTable) / clusterSize,
    );
  }

  #count(offset: number, length: number): void {
    const { clusterSize } = this.#geometry;
    for (let cluster = this.#clusterAt(offset); cluster * clusterSize < offset + length; ) {
      this.#refcounts.increment(cluster);
      cluster = hostCluster(cluster + 1);
    }
    this.#end = Math.max(this.#end, offset + length);
  }

  /** Tells the observer the data end of the unit that holds `cursor`, unless the unit is full. */
  #leaveUnit(cursor: number): void {
    const start = roundDown(cursor, this.#unit);
    if (cursor > start) this.#observer.setDataEnd(start / this.#unit, cursor - start);
  }

  #clusterAt(offset: number): HostCluster {
    return hostCluster(Math.floor(offset / this.#geometry.clusterSize));
  }
}
