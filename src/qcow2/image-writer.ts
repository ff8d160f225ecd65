/**
 * Writes a new qcow2 image, guest cluster by guest cluster in ascending order. Compressed clusters pass through the
 * compressed write cache, normal clusters form runs, and tables lie before the clusters that they point to. The
 * header is written last. Memory does not grow with the image, except for the L1 and the refcount table.
 */
import { roundUp } from '../arithmetic.js';
import { internalError } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import type { CompressedWriteCache } from '../storage/compressed-write-cache.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import { alignedMemory, DIRECT_ALIGNMENT } from '../system/aligned-memory.js';
import { type GuestCluster, guestCluster, guestOffset, type HostOffset, hostOffset } from './addresses.js';
import { readU64 } from './be64.js';
import { type BitmapContent, BitmapWriter } from './bitmap-writer.js';
import { ClusterAllocator } from './cluster-allocator.js';
import { ClusterRun } from './cluster-run.js';
import type { ImageParameters } from './create-options.js';
import { COMPATIBLE_LAZY_REFCOUNTS } from './features.js';
import type { FreeRange } from './free-range.js';
import { l1EntriesFor, TABLE_ENTRY_BYTES } from './geometry.js';
import type { BitmapsExtension } from './header-extensions.js';
import { decodeL1Entry } from './l1-entry.js';
import {
  ALL_DATA,
  ALL_ZEROS,
  encodeCompressedCluster,
  encodeExternalCluster,
  encodeNormalCluster,
  encodeSubclusters,
  type Subclusters,
  ZERO_CLUSTER,
} from './l2-entry.js';
import { L2Tables, type SetEntry } from './l2-tables.js';
import { encodeHeader } from './new-header.js';
import { RecountedRefcounts, Refcounts } from './refcounts.js';
import { type RootPlaces, RootTables } from './root-tables.js';
import { TableAreas } from './table-areas.js';
import { TableStream } from './table-stream.js';

/** Counts of the clusters written so far. */
export interface ImageCounts {
  compressedClusters: number;
  /** Stored uncompressed, in the image or in its external data file; reserved clusters do not count. */
  normalClusters: number;
  /** Explicit zero clusters. */
  zeroClusters: number;
  /** Sum of the compressed clusters' lengths in bytes. */
  compressedBytes: number;
}

/**
 * The unit in which the file's space is allocated and cached, in bytes: a cluster, but at least one aligned write.
 */
export function allocationUnit(clusterSize: number): number {
  return Math.max(clusterSize, DIRECT_ALIGNMENT);
}

/** The tables of an image that is replaced. The new image takes over the part after the new content. */
export interface ReplacedTables {
  /** The L1 table. */
  readonly l1: Uint8Array;
  /** Reads an L2 table. @param offset in the file, in bytes */
  readL2(offset: HostOffset): Promise<Uint8Array>;
}

/** An image without refcounts: the tables for its new header, and what is needed to count all references again. */
export interface UncountedImage {
  readonly l1Offset: HostOffset;
  readonly bitmaps: BitmapsExtension | undefined;
  /** Indexes of refcount blocks for the clusters allocated so far. */
  blocksInUse(): Iterable<number>;
  /** Allocates contiguous clusters. @returns the offset of the first */
  allocate(clusters: number): HostOffset;
}

/** Settings of the writer besides the image's parameters. */
export interface WriterSettings {
  /** Host clusters that `addBitmaps` will take at most, including the bitmaps' tables. */
  readonly bitmapClusters?: number;
  /**
   * The image that is replaced: its free ranges, and the entries of its L1 table. Writing ends with
   * `finishUncounted`.
   */
  readonly replaced?: { readonly free: readonly FreeRange[]; readonly l1Entries: number } | undefined;
}

export class ImageWriter {
  readonly counts: ImageCounts = {
    compressedClusters: 0,
    normalClusters: 0,
    zeroClusters: 0,
    compressedBytes: 0,
  };
  readonly #parameters: ImageParameters;
  readonly #virtualSize: number | undefined;
  readonly #guard: OverlapGuard;
  readonly #cache: CompressedWriteCache;
  readonly #refcounts: Refcounts;
  readonly #allocator: ClusterAllocator;
  readonly #stream: TableStream;
  readonly #areas: TableAreas;
  /** Undefined when an image is replaced. */
  readonly #roots: RootTables | undefined;
  /** Place of the L1 table when an image is replaced, and its length in bytes. */
  readonly #replacedL1: { readonly offset: HostOffset; readonly bytes: number } | undefined;
  readonly #run: ClusterRun;
  readonly #l2: L2Tables;
  readonly #bitmapWriter: BitmapWriter;
  #bitmaps: BitmapsExtension | undefined;

  /**
   * @param virtualSize bytes, a multiple of 512; undefined when only `finish` is given the size
   * @param guard the target; it reserves at least the first allocation unit, for the header
   * @param cache over the same guard, with allocationUnit(cluster size) as its cluster size
   * @param firstFree offset after the header where the image may begin, in bytes, a multiple of the unit
   * @throws Qcow2cError ERR_LIMIT when the refcount table would be larger than QEMU opens
   */
  constructor(
    parameters: ImageParameters,
    virtualSize: number | undefined,
    guard: OverlapGuard,
    cache: CompressedWriteCache,
    firstFree: number,
    { bitmapClusters = 0, replaced }: WriterSettings = {},
  ) {
    const { geometry, dataFile } = parameters;
    const { clusterSize } = geometry;
    const unit = allocationUnit(clusterSize);
    this.#parameters = parameters;
    this.#virtualSize = virtualSize;
    this.#guard = guard;
    this.#cache = cache;
    this.#refcounts = replaced === undefined ? new Refcounts(geometry) : new RecountedRefcounts(geometry);
    this.#stream = new TableStream(guard);
    this.#areas = new TableAreas(clusterSize, guard, this.#stream);
    const observer = {
      setDataEnd: (index: number, end: number) => cache.setDataEnd(index, end),
      beginTableArea: (offset: HostOffset, clusters: number) => this.#areas.begin(offset, clusters),
    };
    const refcounts = this.#refcounts;
    this.#allocator = new ClusterAllocator(geometry, unit, firstFree, refcounts, observer, replaced?.free);
    this.#allocator.count(hostOffset(0), clusterSize);
    if (replaced === undefined) {
      const bounds = { virtualSize, external: dataFile !== undefined, bitmapClusters };
      this.#roots = new RootTables(geometry, unit, guard, this.#allocator, refcounts, bounds);
    } else {
      const bytes = replaced.l1Entries * TABLE_ENTRY_BYTES;
      this.#replacedL1 = { offset: this.#allocateTable(Math.ceil(bytes / clusterSize)), bytes };
    }
    this.#run = new ClusterRun(guard, this.#allocator, clusterSize, unit);
    this.#l2 = new L2Tables(geometry, virtualSize, this.#allocator, this.#run, this.#areas);
    this.#bitmapWriter = new BitmapWriter(clusterSize, unit, guard, this.#allocator, this.#run, this.#stream);
  }

  /**
   * Stores a guest cluster compressed; not with an external data file.
   * @param payload the compressed cluster, shorter than a cluster; copied before this resolves
   */
  async writeCompressed(cluster: GuestCluster, payload: Uint8Array): Promise<void> {
    this.#expectDataFile(false);
    if (this.#l2.passes(cluster)) await this.#l2.complete();
    const setEntry = this.#l2.entriesOf(cluster);
    const { offset, padding } = this.#allocator.allocateBytes(payload.length);
    if (padding > 0) await this.#cache.write(offset - padding, new Uint8Array(padding));
    await this.#cache.write(offset, payload);
    setEntry(encodeCompressedCluster(offset, payload.length, this.#parameters.geometry.clusterBits));
    this.counts.compressedClusters += 1;
    this.counts.compressedBytes += payload.length;
    await this.#writeCompleteTables();
  }

  /**
   * Stores a guest cluster uncompressed; not with an external data file.
   * @param bytes one cluster; copied before this resolves
   * @param subclusters with extended L2 entries: the subclusters that hold data or zeros
   */
  async writeNormal(cluster: GuestCluster, bytes: Uint8Array, subclusters = ALL_DATA): Promise<void> {
    this.#expectDataFile(false);
    if (this.#l2.passes(cluster)) await this.#l2.complete();
    const setEntry = this.#l2.entriesOf(cluster);
    const second = encodeSubclusters(subclusters);
    await this.#run.addCluster(bytes, (offset) => setEntry(encodeNormalCluster(offset), second));
    this.counts.normalClusters += 1;
    await this.#writeCompleteTables();
  }

  /**
   * Maps a guest cluster to the external data file, which the caller writes.
   * @param subclusters with extended L2 entries: the subclusters that hold data or zeros
   */
  async mapExternal(cluster: GuestCluster, subclusters: Subclusters = ALL_DATA): Promise<void> {
    this.#expectDataFile(true);
    await this.#eachTable(cluster, 1, (setEntry) => {
      setEntry(this.#externalEntry(cluster), encodeSubclusters(subclusters));
    });
    this.counts.normalClusters += 1;
  }

  /** Stores guest clusters as explicit zeros, which hide the backing file. Version 3 only. */
  async writeZero(first: GuestCluster, count = 1): Promise<void> {
    const { version, geometry } = this.#parameters;
    if (version === 2) throw internalError('a zero cluster in a version 2 image');
    const raw = geometry.extendedL2 ? 0n : ZERO_CLUSTER;
    const second = encodeSubclusters(ALL_ZEROS);
    await this.#eachTable(first, count, (setEntry, _, clusters) => {
      for (let index = 0; index < clusters; index += 1) setEntry(raw, second, index);
    });
    this.counts.zeroClusters += count;
  }

  /**
   * Preallocates guest clusters: each gets a host cluster that is not written. They read as the file's present
   * content (zeros, in a hole); with extended L2 entries as unallocated.
   */
  async reserve(first: GuestCluster, count = 1): Promise<void> {
    const { geometry, dataFile } = this.#parameters;
    await this.#eachTable(first, count, async (setEntry, cluster, clusters) => {
      if (dataFile === undefined) {
        await this.#run.reserve(clusters, (offset) => {
          for (let index = 0; index < clusters; index += 1) {
            setEntry(encodeNormalCluster(hostOffset(offset + index * geometry.clusterSize)), 0n, index);
          }
        });
        return;
      }
      for (let index = 0; index < clusters; index += 1) {
        setEntry(this.#externalEntry(guestCluster(cluster + index)), 0n, index);
      }
    });
  }

  /**
   * Stores dirty bitmaps, once. Version 3 only. Call it before the first guest cluster if possible: QEMU cannot open
   * an image that has lost its bitmap directory, and takes lost bits for clean.
   * @param bitmaps with their bits for this image's cluster and disk size (readBitmap)
   */
  async addBitmaps(bitmaps: readonly BitmapContent[]): Promise<void> {
    for (const bitmap of bitmaps) await this.#bitmapWriter.add(bitmap);
    this.#bitmaps = await this.#bitmapWriter.writeDirectory();
    await this.#writeCompleteTables();
  }

  /**
   * Writes the remaining data, syncs, and writes tables and header. The caller makes these durable.
   * @param options.inPlace the file has its final name: sync once more before the header, so that it names complete
   *   tables
   * @param options.beforeHeader called before the header is written
   * @param options.virtualSize bytes, a multiple of 512, if the constructor was not given it
   * @returns the file's length in bytes: up to the last sector in use
   * @throws Qcow2cError ERR_LIMIT when the refcount table would be larger than QEMU opens, or the header does not
   *   fit into
   *   a cluster
   */
  async finish(
    options: {
      readonly inPlace?: boolean;
      readonly virtualSize?: number | undefined;
      readonly beforeHeader?: () => void;
    } = {},
  ): Promise<number> {
    const { inPlace = false, virtualSize = this.#virtualSize, beforeHeader } = options;
    const { clusterSize } = this.#parameters.geometry;
    if (virtualSize === undefined || this.#l2.end > Math.ceil(virtualSize / clusterSize)) {
      throw internalError(`a disk of ${virtualSize} bytes with ${this.#l2.end} clusters of ${clusterSize}`);
    }
    await this.#l2.complete();
    this.#allocator.endStream();
    await this.#cache.stop();
    await this.#run.finish();
    const l1Table = this.#l2.takeL1(l1EntriesFor(this.#parameters.geometry, virtualSize));
    const roots = this.#roots;
    if (roots === undefined) throw internalError('an image that is replaced is finished as a new one');
    const places = roots.place(l1Table.length);
    for (const { offset, bytes } of this.#refcounts.takeRest()) this.#areas.complete(offset, bytes);
    await this.#areas.finish();
    await this.#guard.sync();
    await roots.write(places, l1Table, this.#stream);
    if (inPlace) await this.#guard.sync();
    beforeHeader?.();
    await this.#guard.writeHeader([this.#encodeHeader(virtualSize, l1Table.length, places)]);
    return roundUp(this.#allocator.end, SECTOR_SIZE);
  }

  /**
   * Takes over the rest of an image that is replaced, from a guest cluster on. Its L2 tables stay in place. If one
   * of them also maps clusters before `first`, its other entries are copied.
   * @param virtualSize bytes of the image's disk
   */
  async keepRest(first: GuestCluster, { l1, readL2 }: ReplacedTables, virtualSize: number): Promise<void> {
    const { l2Entries, l2EntryBytes, clusterSize } = this.#parameters.geometry;
    const inTable = first % l2Entries;
    const index = Math.floor(first / l2Entries);
    const at = index * TABLE_ENTRY_BYTES;
    if (this.#l2.passes(first)) await this.#l2.complete();
    const end = Math.min((index + 1) * l2Entries, Math.ceil(virtualSize / clusterSize));
    if (inTable > 0 && at < l1.length && first < end) {
      const { l2TableOffset } = decodeL1Entry(readU64(l1, at));
      const table = l2TableOffset === undefined ? undefined : await readL2(l2TableOffset);
      const rest = table?.subarray(inTable * l2EntryBytes, (end - index * l2Entries) * l2EntryBytes);
      if (rest?.some((byte) => byte !== 0)) {
        const setEntry = this.#l2.entriesOf(first, end - first);
        for (let entry = 0; entry < end - first; entry += 1) {
          const raw = readU64(rest, entry * l2EntryBytes);
          const second = l2EntryBytes > 8 ? readU64(rest, entry * l2EntryBytes + 8) : 0n;
          setEntry(raw, second, entry);
        }
      }
    }
    await this.#l2.complete();
    await this.#run.place();
    const next = inTable > 0 ? index + 1 : index;
    this.#l2.keepL1(next, l1.subarray(next * TABLE_ENTRY_BYTES));
  }

  /**
   * Writes the remaining data, L2 tables and the L1 table, but neither refcounts nor header. For an image that is
   * replaced: its references can be counted only after this.
   */
  async finishUncounted(): Promise<UncountedImage> {
    if (this.#replacedL1 === undefined) throw internalError('a new image is finished without refcounts');
    const { offset, bytes } = this.#replacedL1;
    await this.#l2.complete();
    this.#allocator.endStream();
    await this.#cache.stop();
    await this.#run.finish();
    await this.#areas.finish();
    const l1Table = this.#l2.takeL1(bytes / TABLE_ENTRY_BYTES);
    await this.#stream.write(offset, [l1Table]);
    return {
      l1Offset: bytes === 0 ? hostOffset(0) : offset,
      bitmaps: this.#bitmaps,
      blocksInUse: () => this.#refcounts.placedBlocks(),
      allocate: (clusters) => this.#allocateTable(clusters),
    };
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
        bitmaps: this.#bitmaps,
      }),
    );
    return header;
  }

  /** Visits the guest clusters from `first` on, one L2 table at a time. */
  async #eachTable(
    first: GuestCluster,
    count: number,
    visit: (setEntry: SetEntry, cluster: GuestCluster, clusters: number) => void | Promise<void>,
  ): Promise<void> {
    for (let cluster = first, left = count; left > 0; ) {
      const clusters = Math.min(left, this.#l2.reachFrom(cluster));
      if (this.#l2.passes(cluster)) await this.#l2.complete();
      await visit(this.#l2.entriesOf(cluster, clusters), cluster, clusters);
      await this.#writeCompleteTables();
      cluster = guestCluster(cluster + clusters);
      left -= clusters;
    }
  }

  #externalEntry(cluster: GuestCluster): bigint {
    return encodeExternalCluster(guestOffset(cluster * this.#parameters.geometry.clusterSize));
  }

  #expectDataFile(expected: boolean): void {
    if ((this.#parameters.dataFile !== undefined) !== expected) {
      throw internalError(`a cluster in the ${expected ? 'data' : 'image'} file, where none can be`);
    }
  }

  /** Allocates contiguous clusters for a table of an image that is replaced. */
  #allocateTable(clusters: number): HostOffset {
    const { clusterSize } = this.#parameters.geometry;
    const offset = this.#allocator.allocateRun(clusters);
    this.#guard.reserve(offset, roundUp(clusters * clusterSize, allocationUnit(clusterSize)));
    return offset;
  }

  /** Writes the tables that are complete. */
  async #writeCompleteTables(): Promise<void> {
    for (const { offset, bytes } of this.#refcounts.takeComplete(this.#allocator.settledBelow)) {
      // Refcounts of an image that is replaced are counted again and written at the end.
      if (this.#roots !== undefined) this.#areas.complete(offset, bytes);
    }
    await this.#areas.writeComplete();
  }
}
