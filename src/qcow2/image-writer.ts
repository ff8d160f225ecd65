/**
 * Writes a new image: guest clusters in ascending order, then the tables that lead to them, the header last. Memory
 * does not grow with the image, except for the L1 and the refcount table.
 */
import { roundUp } from '../arithmetic.js';
import { internalError } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import { alignedMemory } from '../system/aligned-memory.js';
import { hostOffset } from './addresses.js';
import { type BackingRules, ClusterWriter } from './cluster-writer.js';
import type { ImageParameters } from './create-options.js';
import { COMPATIBLE_LAZY_REFCOUNTS } from './features.js';
import { l1EntriesFor, TABLE_ENTRY_BYTES } from './geometry.js';
import { allocationUnit, ImageBody, type ImageTarget } from './image-body.js';
import { encodeHeader } from './new-header.js';
import { Refcounts } from './refcounts.js';
import { type RootPlaces, RootTables } from './root-tables.js';

/** Settings of the writer besides the image's parameters. */
interface WriterSettings extends BackingRules {
  /** The most host clusters that bitmaps will take, including their tables. */
  readonly bitmapClusters?: number;
}

export class ImageWriter {
  readonly body: ImageBody;
  readonly clusters: ClusterWriter;
  readonly #parameters: ImageParameters;
  readonly #virtualSize: number | undefined;
  readonly #roots: RootTables;

  /**
   * @param virtualSize bytes, a multiple of 512; undefined if the size is given to `finish`
   * @throws Qcow2cError ERR_LIMIT when the refcount table would be larger than QEMU opens
   */
  constructor(
    parameters: ImageParameters,
    virtualSize: number | undefined,
    file: ImageTarget,
    { bitmapClusters = 0, ...backing }: WriterSettings = {},
  ) {
    const { geometry, dataFile } = parameters;
    this.#parameters = parameters;
    this.#virtualSize = virtualSize;
    const refcounts = new Refcounts(geometry);
    this.body = new ImageBody(geometry, virtualSize, refcounts, file);
    const unit = allocationUnit(geometry.clusterSize);
    const bounds = { virtualSize, external: dataFile !== undefined, bitmapClusters };
    this.#roots = new RootTables(geometry, unit, file.guard, this.body.allocator, refcounts, bounds);
    this.clusters = new ClusterWriter(this.body, parameters, backing);
  }

  /**
   * Writes the remaining data, syncs, and writes tables and header. The caller then syncs tables and header.
   * @param options.inPlace the file has its final name already: sync once more before the header is written, so that it
   *   points to complete tables
   * @param options.beforeHeader called before the header is written
   * @param options.virtualSize bytes, a multiple of 512; default: that of the constructor
   * @returns the file's length in bytes: up to the last sector in use
   * @throws Qcow2cError ERR_LIMIT when the refcount table would be larger than QEMU opens, or the header does not
   *   fit into a cluster
   */
  async finish(
    options: {
      readonly inPlace?: boolean;
      readonly virtualSize?: number | undefined;
      readonly beforeHeader?: () => void;
    } = {},
  ): Promise<number> {
    const { inPlace = false, virtualSize = this.#virtualSize, beforeHeader } = options;
    const { allocator, areas, geometry, guard, l2, refcounts, stream } = this.body;
    const { clusterSize } = geometry;
    if (virtualSize === undefined || l2.end > Math.ceil(virtualSize / clusterSize)) {
      throw internalError(`a disk of ${virtualSize} bytes with ${l2.end} clusters of ${clusterSize}`);
    }
    await this.body.finishClusters();
    const l1Table = l2.takeL1(l1EntriesFor(geometry, virtualSize));
    const places = this.#roots.place(l1Table.length);
    for (const { offset, bytes } of refcounts.takeRest()) areas.complete(offset, bytes);
    await areas.finish();
    await guard.sync();
    await this.#roots.write(places, l1Table, stream);
    if (inPlace) await guard.sync();
    beforeHeader?.();
    await guard.writeHeader([this.#encodeHeader(virtualSize, l1Table.length, places)]);
    return roundUp(allocator.end, SECTOR_SIZE);
  }

  /** @returns the whole first unit, so that no old data stay after the header on a device */
  #encodeHeader(virtualSize: number, l1Bytes: number, { l1, refcountTable }: RootPlaces): Uint8Array {
    const { geometry, lazyRefcounts, preallocation: _, ...parameters } = this.#parameters;
    const { clusterSize, clusterBits, refcountOrder, extendedL2 } = geometry;
    const unit = allocationUnit(clusterSize);
    const header = alignedMemory(unit).subarray(0, unit);
    header.set(
      encodeHeader({
        ...parameters,
        clusterBits,
        virtualSize,
        l1Entries: l1Bytes / TABLE_ENTRY_BYTES,
        l1Offset: l1Bytes === 0 ? hostOffset(0) : l1.offset,
        refcountTableOffset: refcountTable.offset,
        refcountTableClusters: refcountTable.clusters,
        compatibleFeatures: lazyRefcounts ? COMPATIBLE_LAZY_REFCOUNTS : 0n,
        refcountOrder,
        extendedL2,
        bitmaps: this.body.bitmaps,
      }),
    );
    return header;
  }
}
