/**
 * The L1 table and the one L2 table that is being filled. Guest clusters come in ascending order, so a
 * table is complete as soon as a cluster beyond its reach comes, and leaves memory then.
 */
import { internalError } from '../errors.js';
import type { GuestCluster } from './addresses.js';
import { writeU64 } from './be64.js';
import type { ClusterRun } from './cluster-run.js';
import { type Geometry, TABLE_ENTRY_BYTES } from './geometry.js';
import { encodeL1Entry } from './l1-entry.js';

/** Sets one L2 entry, now or once its cluster is placed. */
export type SetEntry = (raw: bigint) => void;

export class L2Tables {
  readonly #geometry: Geometry;
  readonly #run: ClusterRun;
  /** The L1 table in its on-disk form. */
  readonly l1: Uint8Array;
  #index = -1;
  #table: Uint8Array | undefined;
  #lastCluster = -1;

  constructor(geometry: Geometry, l1Entries: number, run: ClusterRun) {
    this.#geometry = geometry;
    this.#run = run;
    this.l1 = new Uint8Array(l1Entries * TABLE_ENTRY_BYTES);
  }

  /** Whether `cluster` lies past the table that is being filled; that one must then be completed first. */
  passes(cluster: GuestCluster): boolean {
    return this.#table !== undefined && Math.floor(cluster / this.#geometry.l2Entries) > this.#index;
  }

  /**
   * @param cluster higher than in any call before, and not past an incomplete table
   * @returns what sets the entry of `cluster`; to be called before the table it belongs to is placed
   */
  entryOf(cluster: GuestCluster): SetEntry {
    if (cluster <= this.#lastCluster || this.passes(cluster)) {
      throw internalError(`guest cluster ${cluster} comes out of order`);
    }
    this.#lastCluster = cluster;
    const { l2Entries, clusterSize } = this.#geometry;
    this.#index = Math.floor(cluster / l2Entries);
    this.#table ??= new Uint8Array(clusterSize);
    const table = this.#table;
    const at = (cluster % l2Entries) * TABLE_ENTRY_BYTES;
    return (raw) => writeU64(table, at, raw);
  }

  /** Hands the current table, if there is one, to be placed behind the clusters it points to. */
  async complete(): Promise<void> {
    const table = this.#table;
    if (table === undefined) return;
    this.#table = undefined;
    const at = this.#index * TABLE_ENTRY_BYTES;
    await this.#run.addTable(table, (offset) => writeU64(this.l1, at, encodeL1Entry(offset)));
  }
}
