/**
 * Writes the dirty bitmaps of a new image: their bits in runs of clusters, then their tables, of which only
 * the place stays in memory for the directory. Used by the image writer. Specification: "Bitmaps".
 */
import type { OverlapGuard } from '../storage/overlap-guard.js';
import { encodeBitmapDirectory, type NewBitmap } from './bitmap-directory.js';
import type { BitmapCluster } from './bitmap-reader.js';
import { type BitmapTableEntry, encodeBitmapTable } from './bitmap-table.js';
import type { ClusterAllocator } from './cluster-allocator.js';
import type { ClusterRun } from './cluster-run.js';
import { TableStream } from './table-stream.js';

export class BitmapWriter {
  readonly #clusterSize: number;
  readonly #allocator: ClusterAllocator;
  readonly #run: ClusterRun;
  readonly #tables: TableStream;
  readonly #bitmaps: NewBitmap[] = [];

  constructor(clusterSize: number, guard: OverlapGuard, allocator: ClusterAllocator, run: ClusterRun) {
    this.#clusterSize = clusterSize;
    this.#allocator = allocator;
    this.#run = run;
    this.#tables = new TableStream(guard);
  }

  get count(): number {
    return this.#bitmaps.length;
  }

  /** @param clusters its bits, each cluster's bytes copied before the next is asked for */
  async add(
    bitmap: Pick<NewBitmap, 'name' | 'granularityBits' | 'auto' | 'inUse'>,
    clusters: AsyncIterable<BitmapCluster>,
  ): Promise<void> {
    const entries: BitmapTableEntry[] = [];
    for await (const cluster of clusters) {
      const index = entries.length;
      entries.push({ kind: cluster.kind === 'ones' ? 'ones' : 'zeros' });
      if (cluster.kind !== 'data') continue;
      await this.#run.addCluster(cluster.bytes, (offset) => {
        entries[index] = { kind: 'data', offset };
      });
    }
    await this.#run.place();
    const table = encodeBitmapTable(entries);
    const tableOffset = this.#allocator.allocateRun(Math.ceil(table.length / this.#clusterSize));
    await this.#tables.write(tableOffset, [table]);
    this.#bitmaps.push({ ...bitmap, tableOffset, tableEntries: entries.length });
  }

  /** The bitmap directory; empty without bitmaps. */
  encodeDirectory(): Uint8Array {
    return encodeBitmapDirectory(this.#bitmaps);
  }
}
