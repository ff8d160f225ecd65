/**
 * The L1 table and the current L2 table. Guest clusters come in ascending order. A table gets its place in the file
 * before its first cluster, so a file that loses its end loses only the clusters there. An L2 table is complete when a
 * cluster after its range comes, and then leaves memory. The L1 table grows on demand, because the size of a stream is
 * known at its end.
 */
import { internalError } from '../errors.js';
import { type GuestCluster, guestCluster, type HostOffset } from './addresses.js';
import { writeU64 } from './be64.js';
import type { ClusterAllocator } from './cluster-allocator.js';
import type { ClusterRun } from './cluster-run.js';
import { refuseLargeDisk } from './create-options.js';
import { type Geometry, l1EntriesFor, MAX_L1_BYTES, TABLE_ENTRY_BYTES } from './geometry.js';
import { encodeL1Entry } from './l1-entry.js';
import type { TableAreas } from './table-areas.js';

/**
 * Sets one L2 entry. Call it at once, or when the cluster gets its place.
 * @param subclusters the second number of an extended entry
 * @param index of the entry among those requested
 */
export type SetEntry = (raw: bigint, subclusters?: bigint, index?: number) => void;

export class L2Tables {
  readonly #geometry: Geometry;
  readonly #mostTables: number;
  readonly #allocator: ClusterAllocator;
  readonly #run: ClusterRun;
  readonly #areas: TableAreas;
  /** The L1 table as it is written, followed by unused entries. */
  #l1 = new Uint8Array(0);
  #index = -1;
  #table: { readonly offset: HostOffset; readonly bytes: Uint8Array } | undefined;
  #end = guestCluster(0);

  /** @param virtualSize bytes; undefined: unknown, up to the format's limit */
  constructor(
    geometry: Geometry,
    virtualSize: number | undefined,
    allocator: ClusterAllocator,
    run: ClusterRun,
    areas: TableAreas,
  ) {
    this.#geometry = geometry;
    this.#mostTables =
      virtualSize === undefined ? MAX_L1_BYTES / TABLE_ENTRY_BYTES : l1EntriesFor(geometry, virtualSize);
    this.#allocator = allocator;
    this.#run = run;
    this.#areas = areas;
  }

  /** The first guest cluster for which no entries were requested yet. */
  get end(): GuestCluster {
    return this.#end;
  }

  /** Whether `cluster` lies after the current table, which must then be completed first. */
  passes(cluster: GuestCluster): boolean {
    return this.#table !== undefined && Math.floor(cluster / this.#geometry.l2Entries) > this.#index;
  }

  /** Counts the clusters from `cluster` on in the same table. */
  reachFrom(cluster: GuestCluster): number {
    return this.#geometry.l2Entries - (cluster % this.#geometry.l2Entries);
  }

  /**
   * Requests entries. If these are the first clusters of their table, the table gets its place first; call this
   * before the clusters are allocated.
   * @param first higher than all clusters in any call before, and not in a table after an incomplete one
   * @param count clusters, all in the same table
   * @returns a function that sets the entries; call it before their table is placed
   * @throws Qcow2cError ERR_LIMIT when QEMU opens no L1 table that large
   */
  entriesOf(first: GuestCluster, count = 1): SetEntry {
    const { l2Entries, l2EntryBytes, clusterSize } = this.#geometry;
    const index = Math.floor(first / l2Entries);
    const isComplete = this.#table === undefined && index <= this.#index;
    if (first < this.#end || this.passes(first) || isComplete || count > this.reachFrom(first)) {
      throw internalError(`guest cluster ${first} comes out of order`);
    }
    if (this.#table === undefined) refuseLargeDisk(this.#geometry, (first + 1) * clusterSize);
    this.#end = guestCluster(first + count);
    this.#index = index;
    this.#table ??= {
      offset: this.#allocator.allocateTable(this.#mostTables - index - 1),
      bytes: new Uint8Array(clusterSize),
    };
    const table = this.#table.bytes;
    const begin = (first % l2Entries) * l2EntryBytes;
    return (raw, subclusters = 0n, index = 0) => {
      const at = begin + index * l2EntryBytes;
      writeU64(table, at, raw);
      if (l2EntryBytes > TABLE_ENTRY_BYTES) writeU64(table, at + TABLE_ENTRY_BYTES, subclusters);
    };
  }

  /** Ends the current table, if there is one. It is written once all clusters that it points to have their place. */
  async complete(): Promise<void> {
    const table = this.#table;
    if (table === undefined) return;
    this.#table = undefined;
    const at = this.#index * TABLE_ENTRY_BYTES;
    this.#growL1(at + TABLE_ENTRY_BYTES);
    writeU64(this.#l1, at, encodeL1Entry(table.offset));
    await this.#run.whenPlaced(table.bytes.length, () => this.#areas.complete(table.offset, table.bytes));
  }

  /**
   * Keeps entries of the L1 table of an image that is replaced; their L2 tables stay in place. The current table must
   * be completed, and no other table may follow.
   * @param from index of the first entry
   * @param entries bytes of this and the following entries
   */
  keepL1(from: number, entries: Uint8Array): void {
    if (this.#table !== undefined || from <= this.#index) throw internalError(`L1 entry ${from} is in use`);
    this.#growL1(from * TABLE_ENTRY_BYTES + entries.length);
    this.#l1.set(entries, from * TABLE_ENTRY_BYTES);
  }

  /** Returns the L1 table of a disk that needs this many `entries`; the current table must be completed. */
  takeL1(entries: number): Uint8Array {
    this.#growL1(entries * TABLE_ENTRY_BYTES);
    return this.#l1.subarray(0, entries * TABLE_ENTRY_BYTES);
  }

  #growL1(length: number): void {
    if (length <= this.#l1.length) return;
    const grown = new Uint8Array(Math.max(length, 2 * this.#l1.length));
    grown.set(this.#l1);
    this.#l1 = grown;
  }
}
