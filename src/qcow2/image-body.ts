/**
 * The part of an image that is written while guest clusters arrive: clusters, L2 tables, refcount blocks and bitmaps,
 * and the allocation of their space. Tables lie before the clusters that they point to. L1 table, refcount table and
 * header are written last, by `ImageWriter` for a new image and by `ReplacementWriter` for an existing one.
 */
import type { CompressedWriteCache } from '../storage/compressed-write-cache.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import { DIRECT_ALIGNMENT } from '../system/aligned-memory.js';
import { type HostOffset, hostOffset } from './addresses.js';
import { type BitmapContent, BitmapWriter } from './bitmap-writer.js';
import { ClusterAllocator } from './cluster-allocator.js';
import { ClusterRun } from './cluster-run.js';
import type { FreeRange } from './free-range.js';
import type { Geometry } from './geometry.js';
import type { BitmapsExtension } from './header-extensions.js';
import { L2Tables } from './l2-tables.js';
import type { Refcounts } from './refcounts.js';
import { TableAreas } from './table-areas.js';
import { TableStream } from './table-stream.js';

/** The unit in which the file's space is allocated and cached, in bytes: a cluster, but at least one aligned write. */
export function allocationUnit(clusterSize: number): number {
  return Math.max(clusterSize, DIRECT_ALIGNMENT);
}

/** The file that an image is written to. */
export interface ImageTarget {
  /** The target; it reserves at least the first allocation unit, for the header. */
  readonly guard: OverlapGuard;
  /** Writes to the same guard; its cluster size is the allocation unit. */
  readonly cache: CompressedWriteCache;
  /** The first offset after the header that the image may use, in bytes, a multiple of the unit. */
  readonly firstFree: number;
  /** The free ranges of a file with content, see ClusterAllocator. */
  readonly free?: readonly FreeRange[] | undefined;
}

export class ImageBody {
  readonly geometry: Geometry;
  readonly guard: OverlapGuard;
  readonly cache: CompressedWriteCache;
  readonly refcounts: Refcounts;
  readonly allocator: ClusterAllocator;
  readonly stream: TableStream;
  readonly areas: TableAreas;
  readonly run: ClusterRun;
  readonly l2: L2Tables;
  readonly #bitmapWriter: BitmapWriter;
  #bitmaps: BitmapsExtension | undefined;

  /** @param virtualSize bytes, a multiple of 512; undefined: known at the end */
  constructor(
    geometry: Geometry,
    virtualSize: number | undefined,
    refcounts: Refcounts,
    { guard, cache, firstFree, free }: ImageTarget,
  ) {
    const { clusterSize } = geometry;
    const unit = allocationUnit(clusterSize);
    this.geometry = geometry;
    this.guard = guard;
    this.cache = cache;
    this.refcounts = refcounts;
    this.stream = new TableStream(guard);
    this.areas = new TableAreas(clusterSize, guard, this.stream);
    const observer = {
      setDataEnd: (index: number, end: number) => cache.setDataEnd(index, end),
      beginTableArea: (offset: HostOffset, clusters: number) => this.areas.begin(offset, clusters),
    };
    this.allocator = new ClusterAllocator(geometry, unit, firstFree, refcounts, observer, free);
    this.allocator.count(hostOffset(0), clusterSize);
    this.run = new ClusterRun(guard, this.allocator, clusterSize, unit);
    this.l2 = new L2Tables(geometry, virtualSize, this.allocator, this.run, this.areas);
    this.#bitmapWriter = new BitmapWriter(clusterSize, unit, guard, this.allocator, this.run, this.stream);
  }

  /** The bitmaps that were added, for the header. */
  get bitmaps(): BitmapsExtension | undefined {
    return this.#bitmaps;
  }

  /**
   * Stores dirty bitmaps. Call it once, for version 3 only, and before the first guest cluster if possible: QEMU cannot
   * open an image that has lost its bitmap directory, and takes lost bits for clean.
   * @param bitmaps with their bits for this image's cluster and disk size (readBitmap)
   */
  async addBitmaps(bitmaps: readonly BitmapContent[]): Promise<void> {
    for (const bitmap of bitmaps) await this.#bitmapWriter.add(bitmap);
    this.#bitmaps = await this.#bitmapWriter.writeDirectory();
    await this.writeCompleteTables();
  }

  /** Writes the tables that are complete. */
  async writeCompleteTables(): Promise<void> {
    for (const { offset, bytes } of this.refcounts.takeComplete(this.allocator.settledBelow)) {
      this.areas.complete(offset, bytes);
    }
    await this.areas.writeComplete();
  }

  /** Completes the last L2 table and waits until all guest clusters are on the descriptor. */
  async finishClusters(): Promise<void> {
    await this.l2.complete();
    this.allocator.endStream();
    await this.cache.stop();
    await this.run.finish();
  }
}
