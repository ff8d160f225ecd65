/**
 * The L1 table and the one L2 table that is being filled. Guest clusters come in ascending order. A table takes its
 * place in the file before its first cluster does, so that a file that lost its end has lost no more than the
 * clusters there. It is complete as soon as a cluster beyond its reach comes, and leaves memory then. The L1 table
 * grows with them: the size of a disk that comes as a stream is known last.
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
 * Sets one L2 entry, now or once its cluster is placed.
 * @param subclusters the second number of an extended entry; others have none
 * @param index of the entry among those asked for
 */
export type SetEntry = (raw: bigint, subclusters?: bigint, index?: number) => void;

export class L2Tables {
  readonly #geometry: Geometry;
  readonly #mostTables: number;
  readonly #allocator: ClusterAllocator;
  readonly #run: ClusterRun;
  readonly #areas: TableAreas;
  /** The L1 table in its on-disk form, or longer. */
  #l1 = new Uint8Array(0);
  #index = -1;
  #table: { readonly offset: HostOffset; readonly bytes: Uint8Array } | undefined;
  #end = guestCluster(0);

  /** @param virtualSize bytes; undefined: as large as it can be */
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

  /** The first guest cluster that nobody asked entries for. */
  get end(): GuestCluster {
    return this.#end;
  }

  /** Whether `cluster` lies past the table that is being filled; that one must then be completed first. */
  passes(cluster: GuestCluster): boolean {
    return this.#table !== undefined && Math.floor(cluster / this.#geometry.l2Entries) > this.#index;
  }

  /** How many clusters from `cluster` on are in the same table. */
  reachFrom(cluster: GuestCluster): number {
    return this.#geometry.l2Entries - (cluster % this.#geometry.l2Entries);
  }

  /**
   * Takes a place for the table first, if these are its first clusters: theirs is to be taken after this.
   * @param first higher than all clusters in any call before, and not in a table past an incomplete one
   * @param count clusters, all in the same table
   * @returns what sets their entries; to be called before the table they belong to is placed
   * @throws Qcow2cError ERR_LIMIT when QEMU opens no L1 table that reaches so far
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

  /** Ends the current table, if there is one: it is written once all clusters that it points to have their place. */
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
   * Takes over entries of the L1 table of an image that is replaced; their L2 tables stay where they are. The last
   * table must be completed, and none follows.
   * @param from the first entry, `entries`: its bytes and those of the entries behind it
   */
  keepL1(from: number, entries: Uint8Array): void {
    if (this.#table !== undefined || from <= this.#index) throw internalError(`L1 entry ${from} is in use`);
    this.#growL1(from * TABLE_ENTRY_BYTES + entries.length);
    this.#l1.set(entries, from * TABLE_ENTRY_BYTES);
  }

  /** The L1 table of a disk that needs `entries` of them; the last table must be completed. */
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
