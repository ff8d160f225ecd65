/**
 * Writes the dirty bitmaps of an image: their bits in runs of clusters, then the tables and the directory. Only the
 * offsets of the tables stay in memory. Specification: "Bitmaps".
 */
import { roundUp } from '../arithmetic.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import type { HostOffset } from './addresses.js';
import { encodeBitmapDirectory, type NewBitmap } from './bitmap-directory.js';
import type { BitmapCluster } from './bitmap-reader.js';
import { type BitmapTableEntry, encodeBitmapTable } from './bitmap-table.js';
import type { ClusterAllocator } from './cluster-allocator.js';
import type { ClusterRun } from './cluster-run.js';
import type { BitmapsExtension } from './header-extensions.js';
import type { TableStream } from './table-stream.js';

/** A bitmap to be written. */
export interface BitmapContent {
  readonly bitmap: Pick<NewBitmap, 'name' | 'granularityBits' | 'auto' | 'inUse'>;
  /** The bits of the bitmap. */
  readonly clusters: AsyncIterable<BitmapCluster>;
}

export class BitmapWriter {
  readonly #clusterSize: number;
  readonly #unit: number;
  readonly #guard: OverlapGuard;
  readonly #allocator: ClusterAllocator;
  readonly #run: ClusterRun;
  readonly #stream: TableStream;
  readonly #bitmaps: NewBitmap[] = [];

  constructor(
    clusterSize: number,
    unit: number,
    guard: OverlapGuard,
    allocator: ClusterAllocator,
    run: ClusterRun,
    stream: TableStream,
  ) {
    this.#clusterSize = clusterSize;
    this.#unit = unit;
    this.#guard = guard;
    this.#allocator = allocator;
    this.#run = run;
    this.#stream = stream;
  }

  /** Writes bits and table of one bitmap. @param clusters each is copied before the next is requested */
  async add({ bitmap, clusters }: BitmapContent): Promise<void> {
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
    const tableOffset = await this.#writeTable(encodeBitmapTable(entries));
    this.#bitmaps.push({ ...bitmap, tableOffset, tableEntries: entries.length });
  }

  /** Writes the directory. @returns the bitmaps extension for the header; undefined without bitmaps */
  async writeDirectory(): Promise<BitmapsExtension | undefined> {
    if (this.#bitmaps.length === 0) return undefined;
    const directory = encodeBitmapDirectory(this.#bitmaps);
    const directoryOffset = await this.#writeTable(directory);
    return { count: this.#bitmaps.length, directorySize: directory.length, directoryOffset };
  }

  async #writeTable(table: Uint8Array): Promise<HostOffset> {
    const offset = this.#allocator.allocateRun(Math.ceil(table.length / this.#clusterSize));
    this.#guard.reserve(offset, roundUp(table.length, this.#unit));
    await this.#stream.write(offset, [table]);
    return offset;
  }
}
