/**
 * The refcount table and the L1 table of a new image. Their places are reserved directly after the header, so a file
 * that loses its end still has them. They are written last.
 */
import { roundUp } from '../arithmetic.js';
import { internalError } from '../errors.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import { type HostOffset, hostCluster } from './addresses.js';
import { type ClusterAllocator, largestArea } from './cluster-allocator.js';
import { type Geometry, l1EntriesFor, MAX_REFCOUNT_TABLE_BYTES, TABLE_ENTRY_BYTES } from './geometry.js';
import { refcountTableBound } from './refcount-table-bound.js';
import type { Refcounts } from './refcounts.js';
import type { TableStream } from './table-stream.js';

/** From this cluster size on, a disk of unknown size gets an L1 table of one cluster: for 4 TiB with 64 KiB. */
const WHOLE_L1_BYTES = 64 * 1024;
/** Bytes of the L1 table with smaller clusters: for 64 GiB with 4 KiB, for 1 GiB with 512 bytes. */
const SMALL_CLUSTERS_L1_BYTES = 256 * 1024;

/** Parameters that bound the size of the tables. */
export interface RootBounds {
  /** Bytes; undefined: not known yet. */
  readonly virtualSize: number | undefined;
  /** Whether guest clusters lie in an external data file. */
  readonly external: boolean;
  /** Most host clusters of the bitmaps, including their tables. */
  readonly bitmapClusters: number;
}

/** Offset in bytes, length in clusters. */
interface Place {
  readonly offset: HostOffset;
  readonly clusters: number;
}

export interface RootPlaces {
  readonly l1: Place;
  readonly refcountTable: Place;
}

export class RootTables {
  readonly #geometry: Geometry;
  readonly #unit: number;
  readonly #guard: OverlapGuard;
  readonly #allocator: ClusterAllocator;
  readonly #refcounts: Refcounts;
  readonly #reserved: RootPlaces;

  /** Reserves the places. Create it before other space is allocated. @param unit of allocation, in bytes */
  constructor(
    geometry: Geometry,
    unit: number,
    guard: OverlapGuard,
    allocator: ClusterAllocator,
    refcounts: Refcounts,
    { virtualSize, external, bitmapClusters }: RootBounds,
  ) {
    this.#geometry = geometry;
    this.#unit = unit;
    this.#guard = guard;
    this.#allocator = allocator;
    this.#refcounts = refcounts;
    const { clusterSize, l2Entries } = geometry;
    const l1Entries =
      virtualSize === undefined
        ? (clusterSize < WHOLE_L1_BYTES ? SMALL_CLUSTERS_L1_BYTES : clusterSize) / TABLE_ENTRY_BYTES
        : l1EntriesFor(geometry, virtualSize);
    const l1 = this.#clustersFor(l1Entries);
    const refcountTable = refcountTableBound(geometry, unit, {
      before: allocator.firstFree,
      data: external ? 0 : Math.ceil((virtualSize ?? l1Entries * l2Entries * clusterSize) / clusterSize),
      l1,
      l2: l1Entries,
      bitmaps: bitmapClusters,
    });
    this.#reserved = { refcountTable: this.#reserve(refcountTable), l1: this.#reserve(l1) };
    // The used part is known at the end, so these refcounts stay open.
    refcounts.keepOpen(this.#clusterAt(this.#reserved.refcountTable.offset), allocator.firstFree);
  }

  /**
   * Counts the references to the tables, after everything else has its place. A table larger than its reserved place
   * goes to the end of the file; this occurs only for disks of unknown size.
   * @param l1Bytes length of the L1 table
   * @throws Qcow2cError ERR_LIMIT when the refcount table would be larger than QEMU opens
   */
  place(l1Bytes: number): RootPlaces {
    const l1 = this.#take(this.#reserved.l1, l1Bytes);
    const needed = this.#clustersFor(this.#refcounts.tableEntries);
    const fits = needed <= this.#reserved.refcountTable.clusters;
    const clusters = fits ? needed : this.#clustersAtEnd(needed);
    const refcountTable = this.#take(this.#reserved.refcountTable, clusters * this.#geometry.clusterSize);
    if (this.#clustersFor(this.#refcounts.tableEntries) > clusters) {
      throw internalError(
        `a refcount table of ${clusters} clusters for ${this.#refcounts.tableEntries} blocks`,
      );
    }
    return { l1, refcountTable };
  }

  /** Writes both tables. @param l1Table the bytes of its entries */
  async write({ l1, refcountTable }: RootPlaces, l1Table: Uint8Array, stream: TableStream): Promise<void> {
    await stream.write(refcountTable.offset, [this.#refcounts.encodeTable(refcountTable.clusters)]);
    await stream.write(l1.offset, [l1Table]);
  }

  #reserve(clusters: number): Place {
    const offset = this.#allocator.reserve(clusters);
    this.#guard.reserve(offset, roundUp(clusters * this.#geometry.clusterSize, this.#unit));
    return { offset, clusters };
  }

  /** Takes bytes from the start of the reserved place, or allocates a new place. */
  #take(reserved: Place, bytes: number): Place {
    const clusters = Math.ceil(bytes / this.#geometry.clusterSize);
    const { offset } = clusters <= reserved.clusters ? reserved : this.#reserve(clusters);
    this.#allocator.count(offset, bytes);
    return { offset, clusters };
  }

  /** Clusters of a refcount table at the end of the file: it counts itself and the blocks for it. */
  #clustersAtEnd(needed: number): number {
    const { clusterSize, refcountBlockEntries } = this.#geometry;
    const spare = 2 * largestArea(this.#geometry, this.#unit) + (2 * this.#unit) / clusterSize;
    for (let clusters = needed; ; ) {
      const blocks = Math.ceil(clusters / refcountBlockEntries) + 1;
      const end = this.#allocator.firstFree + clusters + blocks + spare;
      const larger = this.#clustersFor(Math.ceil(end / refcountBlockEntries));
      if (larger <= clusters) return Math.min(clusters, MAX_REFCOUNT_TABLE_BYTES / clusterSize);
      clusters = larger;
    }
  }

  #clustersFor(entries: number): number {
    return Math.ceil((entries * TABLE_ENTRY_BYTES) / this.#geometry.clusterSize);
  }

  #clusterAt(offset: HostOffset) {
    return hostCluster(offset / this.#geometry.clusterSize);
  }
}
