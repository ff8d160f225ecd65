/**
 * Hands out the image file's space, upwards only: byte after byte to the stream of compressed clusters, in runs
 * of whole clusters to normal clusters, and in areas of clusters to L2 tables and refcount blocks, which lie
 * before what they point to and count. Counts the references. Decides alone, from the order of the calls, so the
 * same calls always give the same layout.
 */

import { roundDown, roundUp } from '../arithmetic.js';
import { internalError } from '../errors.js';
import { type HostCluster, type HostOffset, hostCluster, hostOffset } from './addresses.js';
import type { FreeRange } from './free-range.js';
import type { Geometry } from './geometry.js';
import type { Refcounts } from './refcounts.js';

/** An area has room for this part of the tables so far: never much more than that is left unused. */
const AREA_PART = 8;
/** An area has so many bytes at least, unless a cluster is larger or no more tables can follow. */
const SMALLEST_AREA = 16 * 1024;
/** Largest area in bytes, unless a cluster is larger: its tables stay in memory until all of them are complete. */
const LARGEST_AREA = 256 * 1024;

/** What the allocator tells others. Must not wait. */
export interface AllocationObserver {
  /** Nothing will be written to this unit (index) past `end` (bytes from its start). */
  setDataEnd(unit: number, end: number): void;
  /** From here on tables lie in these clusters: all places of the area before are taken. */
  beginTableArea(offset: HostOffset, clusters: number): void;
}

/** Space for one compressed cluster. */
export interface StreamPlace {
  readonly offset: HostOffset;
  /** Bytes before it, in the same unit, that belong to nobody and have to be filled with zeros. */
  readonly padding: number;
}

/** @returns how many clusters an area of tables has at most */
export function largestArea({ clusterSize }: Geometry, unit: number): number {
  return Math.max(unit, LARGEST_AREA) / clusterSize;
}

export class ClusterAllocator {
  readonly #geometry: Geometry;
  /**
   * The unit of allocation in bytes: a cluster, or as many as fill one aligned write. Runs, tables and the
   * stream never share a unit, so an aligned write never holds bytes of two of them.
   */
  readonly #unit: number;
  readonly #refcounts: Refcounts;
  readonly #observer: AllocationObserver;
  /** Free space above the range that is being handed out, in order; the last range has no end. */
  readonly #free: FreeRange[];
  /** Start of the space that nobody has; a multiple of the unit. */
  #nextFree: number;
  /** Where the range ends that `#nextFree` is in. */
  #rangeEnd: number;
  /** Where the next compressed cluster may go on, and the end of what the stream owns there. */
  #cursor: number;
  #streamEnd: number;
  /** Where the next table goes, and the end of the area. */
  #nextTable = 0;
  #areaEnd = 0;
  /** Tables so far, and how many L2 tables may follow. */
  #tables = 0;
  #further = 0;
  #end: number;

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

  /** No reference to a cluster below this one will be counted any more, reserved ones aside. */
  get settledBelow(): HostCluster {
    const stream = this.#cursor < this.#streamEnd ? roundDown(this.#cursor, this.#unit) : this.#nextFree;
    const tables = this.#nextTable < this.#areaEnd ? this.#nextTable : this.#nextFree;
    return this.#clusterAt(Math.min(stream, tables));
  }

  /** The first host cluster that nobody has. */
  get firstFree(): HostCluster {
    return hostCluster(this.#nextFree / this.#geometry.clusterSize);
  }

  /** Where the last byte in use ends. */
  get end(): number {
    return this.#end;
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

  /** Takes `clusters` contiguous host clusters, each referenced once. @returns where they begin */
  allocateRun(clusters: number): HostOffset {
    const offset = this.reserve(clusters);
    this.#count(offset, clusters * this.#geometry.clusterSize);
    return offset;
  }

  /** Takes contiguous host clusters that are free as long as they are not counted. @returns where they begin */
  reserve(clusters: number): HostOffset {
    const length = clusters * this.#geometry.clusterSize;
    const offset = hostOffset(this.#makeRoom(length));
    this.#nextFree = roundUp(offset + length, this.#unit);
    return offset;
  }

  /**
   * Counts one reference to each host cluster of a part of the file that was reserved, or taken from the start.
   * @param length bytes
   */
  count(offset: HostOffset, length: number): void {
    if (length === 0) return;
    this.#placeBlock(this.#clusterAt(offset));
    this.#count(offset, length);
  }

  /**
   * Takes a cluster for an L2 table, referenced once; to be called before what it refers to gets its place. That
   * lies behind the table.
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

  /** Ends the stream: compressed clusters that follow get new space. */
  endStream(): void {
    this.#leaveUnit(this.#cursor);
    this.#cursor = this.#streamEnd;
  }

  /**
   * Finds room for `length` bytes, and gives the refcount blocks that count them their places before.
   * @returns where they may begin
   */
  #makeRoom(length: number): number {
    for (let before = -1; before !== this.#nextFree; ) {
      this.#goOnToRange(length);
      before = this.#nextFree;
      this.#placeBlocks(length);
    }
    return this.#nextFree;
  }

  /** Goes on to the first free range that has room for `length` bytes. */
  #goOnToRange(length: number): void {
    while (this.#nextFree + length > this.#rangeEnd) {
      const next = this.#free.shift();
      if (next === undefined) throw internalError(`no room for ${length} bytes behind the end of the file`);
      this.#nextFree = next.from;
      this.#rangeEnd = next.to;
    }
  }

  /** Sees that refcount blocks count the next `length` bytes of free space, and lie before them. */
  #placeBlocks(length: number): void {
    const reach = this.#geometry.refcountBlockEntries * this.#geometry.clusterSize;
    for (let at = this.#nextFree; at < this.#nextFree + length; ) {
      const cluster = this.#clusterAt(at);
      if (this.#refcounts.isPlaced(cluster)) {
        at = roundDown(at, reach) + reach;
      } else {
        this.#placeBlock(cluster);
        // A new area of tables begins where the free space did.
        at = Math.max(at, this.#nextFree);
      }
    }
  }

  /** Gives the refcount block of `cluster` its place, and then the block that counts this one. */
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

  /** Takes space for tables: in a free range that ends soon no more than is left. */
  #beginArea(): void {
    const { clusterSize } = this.#geometry;
    const wanted = Math.max(Math.floor(this.#tables / AREA_PART), SMALLEST_AREA / clusterSize);
    const most = Math.min(largestArea(this.#geometry, this.#unit), 1 + this.#further);
    const length = roundUp(Math.max(1, Math.min(wanted, most)) * clusterSize, this.#unit);
    this.#goOnToRange(this.#unit);
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

  /** Tells the observer where the data of the unit that holds `cursor` ends, unless it is full. */
  #leaveUnit(cursor: number): void {
    const start = roundDown(cursor, this.#unit);
    if (cursor > start) this.#observer.setDataEnd(start / this.#unit, cursor - start);
  }

  #clusterAt(offset: number): HostCluster {
    return hostCluster(Math.floor(offset / this.#geometry.clusterSize));
  }
}
