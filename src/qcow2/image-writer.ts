/**
 * Writes one new qcow2 image, guest cluster by guest cluster in ascending order: compressed clusters
 * through the compressed write cache, normal clusters and tables in runs, the header last. Memory does
 * not grow with the image except for the L1 and the refcount table.
 */
import { internalError } from '../errors.js';
import { alignedMemory, DIRECT_ALIGNMENT, roundUp } from '../storage/aligned-memory.js';
import type { CompressedWriteCache } from '../storage/compressed-write-cache.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import { type GuestCluster, type HostOffset, hostCluster, hostOffset } from './addresses.js';
import { ClusterAllocator } from './cluster-allocator.js';
import { ClusterRun } from './cluster-run.js';
import type { ImageParameters } from './create-options.js';
import { COMPATIBLE_LAZY_REFCOUNTS } from './features.js';
import { l1EntriesFor, SECTOR_SIZE } from './geometry.js';
import { encodeCompressedCluster, encodeNormalCluster } from './l2-entry.js';
import { L2Tables } from './l2-tables.js';
import { encodeHeader } from './new-header.js';
import { type RefcountBlock, Refcounts } from './refcounts.js';
import { writeTableStream } from './table-stream.js';

/** What has been written so far. */
export interface ImageCounts {
  compressedClusters: number;
  normalClusters: number;
  /** Sum of the compressed clusters' lengths in bytes. */
  compressedBytes: number;
}

/**
 * The unit in which the file's space is handed out and cached, in bytes: a cluster, but at least what
 * one aligned write needs.
 */
export function allocationUnit(clusterSize: number): number {
  return Math.max(clusterSize, DIRECT_ALIGNMENT);
}

export class ImageWriter {
  readonly counts: ImageCounts = { compressedClusters: 0, normalClusters: 0, compressedBytes: 0 };
  readonly #parameters: ImageParameters;
  readonly #virtualSize: number;
  readonly #guard: OverlapGuard;
  readonly #cache: CompressedWriteCache;
  readonly #refcounts: Refcounts;
  readonly #allocator: ClusterAllocator;
  readonly #run: ClusterRun;
  readonly #l2: L2Tables;

  /**
   * @param virtualSize bytes, a multiple of 512
   * @param guard the target; it reserves at least the first allocation unit, for the header
   * @param cache over the same guard, with allocationUnit(cluster size) as its cluster size
   * @param firstFree where the image may begin behind its header, in bytes, a multiple of the unit
   */
  constructor(
    parameters: ImageParameters,
    virtualSize: number,
    guard: OverlapGuard,
    cache: CompressedWriteCache,
    firstFree: number,
  ) {
    const { geometry } = parameters;
    const unit = allocationUnit(geometry.clusterSize);
    this.#parameters = parameters;
    this.#virtualSize = virtualSize;
    this.#guard = guard;
    this.#cache = cache;
    this.#refcounts = new Refcounts(geometry);
    this.#refcounts.increment(hostCluster(0));
    this.#allocator = new ClusterAllocator(geometry, unit, firstFree, this.#refcounts, cache);
    this.#run = new ClusterRun(guard, this.#allocator, geometry.clusterSize, unit);
    this.#l2 = new L2Tables(geometry, l1EntriesFor(geometry, virtualSize), this.#run);
  }

  /**
   * Stores a guest cluster compressed.
   * @param payload the compressed cluster, shorter than a cluster; copied before this resolves
   */
  async writeCompressed(cluster: GuestCluster, payload: Uint8Array): Promise<void> {
    if (this.#l2.passes(cluster)) await this.#l2.complete();
    const setEntry = this.#l2.entryOf(cluster);
    const { offset, padding } = this.#allocator.allocateBytes(payload.length);
    if (padding > 0) await this.#cache.write(offset - padding, new Uint8Array(padding));
    await this.#cache.write(offset, payload);
    setEntry(encodeCompressedCluster(offset, payload.length, this.#parameters.geometry.clusterBits));
    this.counts.compressedClusters += 1;
    this.counts.compressedBytes += payload.length;
    const complete = this.#refcounts.takeComplete(this.#allocator.settledBelow);
    if (complete.length > 0) await this.#placeRefcountBlocks(complete);
  }

  /** Stores a guest cluster as it is. @param bytes one cluster; copied before this resolves */
  async writeNormal(cluster: GuestCluster, bytes: Uint8Array): Promise<void> {
    if (this.#l2.passes(cluster)) await this.#l2.complete();
    const setEntry = this.#l2.entryOf(cluster);
    await this.#run.addCluster(bytes, (offset) => setEntry(encodeNormalCluster(offset)));
    this.counts.normalClusters += 1;
    const complete = this.#refcounts.takeComplete(this.#allocator.settledBelow);
    if (complete.length > 0) await this.#placeRefcountBlocks(complete);
  }

  /**
   * Writes what is left: data, sync, tables, header. The caller makes these durable.
   * @param inPlace the file can be found already: sync once more, so that no header points to nothing
   * @returns the file's length in bytes: up to the end of the last table, a multiple of 512
   */
  async finish(inPlace = false): Promise<number> {
    await this.#l2.complete();
    this.#allocator.endStream();
    await this.#cache.stop();
    await this.#run.finish();
    await this.#guard.sync();
    const { header, length } = await this.#writeLastTables();
    if (inPlace) await this.#guard.sync();
    await this.#guard.writeHeader([header]);
    return length;
  }

  /** Refcount blocks, refcount table and L1 table, contiguous in this order at the end of the file. */
  async #writeLastTables(): Promise<{ readonly header: Uint8Array; readonly length: number }> {
    const { geometry, version, compressionType, lazyRefcounts, backing, dataFile } = this.#parameters;
    const { clusterSize } = geometry;
    const first = this.#allocator.firstFree;
    const l1Clusters = Math.ceil(this.#l2.l1.length / clusterSize);
    const { blocks, tableClusters } = this.#refcounts.sizeOfRest(first, l1Clusters);
    const start = this.#allocator.allocateRun(blocks + tableClusters + l1Clusters);
    const refcountTableOffset = hostOffset(start + blocks * clusterSize);
    const l1Offset = hostOffset(refcountTableOffset + tableClusters * clusterSize);
    const rest = this.#refcounts.takeRest();
    if (rest.length !== blocks)
      throw internalError(`${rest.length} refcount blocks where ${blocks} have room`);
    for (const [index, block] of rest.entries()) {
      this.#refcounts.place(block, hostOffset(start + index * clusterSize));
    }
    await writeTableStream(this.#guard, start, [
      ...rest.map(({ bytes }) => bytes),
      this.#refcounts.encodeTable(tableClusters),
      this.#l2.l1,
    ]);
    const l1Entries = l1EntriesFor(geometry, this.#virtualSize);
    // The whole first unit, so that nothing old stays behind the header on a device.
    const unit = allocationUnit(clusterSize);
    const header = alignedMemory(unit).subarray(0, unit);
    header.set(
      encodeHeader({
        version,
        clusterBits: geometry.clusterBits,
        virtualSize: this.#virtualSize,
        l1Entries,
        l1Offset: l1Entries === 0 ? hostOffset(0) : l1Offset,
        refcountTableOffset,
        refcountTableClusters: tableClusters,
        compatibleFeatures: lazyRefcounts ? COMPATIBLE_LAZY_REFCOUNTS : 0n,
        refcountOrder: geometry.refcountOrder,
        compressionType,
        extendedL2: geometry.extendedL2,
        backing,
        dataFile,
      }),
    );
    return { header, length: roundUp(l1Offset + this.#l2.l1.length, SECTOR_SIZE) };
  }

  /** Refcount blocks that cannot change any more go where everything else goes. */
  async #placeRefcountBlocks(blocks: readonly RefcountBlock[]): Promise<void> {
    for (const block of blocks) {
      await this.#run.addTable(block.bytes, (offset: HostOffset) => this.#refcounts.place(block, offset));
    }
  }
}
