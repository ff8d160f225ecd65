/**
 * Writes guest clusters in ascending order into an image: compressed ones through the compressed write cache, normal
 * ones in runs, and their L2 entries.
 */
import { internalError } from '../errors.js';
import { type GuestCluster, guestCluster, guestOffset, hostOffset } from './addresses.js';
import type { ImageParameters } from './create-options.js';
import { dataRatio } from './data-ratio.js';
import type { ImageBody } from './image-body.js';
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
import type { SetEntry } from './l2-tables.js';
import { type PackedClusters, UNCHANGED } from './packed-clusters.js';
import { ALL_SUBCLUSTERS } from './subclusters.js';

/** Counts of the clusters written so far. */
interface ImageCounts {
  compressedClusters: number;
  /** Stored uncompressed, in the image or in its external data file; reserved clusters do not count. */
  normalClusters: number;
  /** Explicit zero clusters. */
  zeroClusters: number;
  /** Sum of the compressed clusters' lengths in bytes. */
  compressedBytes: number;
}

/** The rules for guest clusters without an L2 entry. */
export interface BackingRules {
  /** The image has a backing file, so zeros need an entry. */
  readonly hasBacking?: boolean;
  /** Skipped guest clusters become zeros that hide the backing file, because it belongs to the replaced content. */
  readonly hidesBacking?: boolean;
}

export class ClusterWriter {
  readonly counts: ImageCounts = {
    compressedClusters: 0,
    normalClusters: 0,
    zeroClusters: 0,
    compressedBytes: 0,
  };
  readonly #body: ImageBody;
  readonly #parameters: ImageParameters;
  readonly #hasBacking: boolean;
  readonly #hidesBacking: boolean;
  /** The first guest cluster that is neither stored nor skipped. */
  #next = guestCluster(0);

  constructor(
    body: ImageBody,
    parameters: ImageParameters,
    { hasBacking = false, hidesBacking = false }: BackingRules,
  ) {
    this.#body = body;
    this.#parameters = parameters;
    this.#hasBacking = hasBacking;
    this.#hidesBacking = hidesBacking;
  }

  /** Bytes that the stored clusters take in the image. */
  get storedBytes(): number {
    const { compressedBytes, normalClusters } = this.counts;
    return compressedBytes + normalClusters * this.#body.geometry.clusterSize;
  }

  /** The ratio of the stored clusters (`dataRatio`). */
  get ratio(): number | undefined {
    const { compressedClusters, compressedBytes, normalClusters } = this.counts;
    const { clusterSize } = this.#body.geometry;
    return dataRatio({
      compressed: compressedBytes,
      compressedGuest: compressedClusters * clusterSize,
      normal: normalClusters * clusterSize,
    });
  }

  /**
   * Stores packed clusters. Their bytes are copied before this resolves, except those of an external data file, which
   * the caller writes.
   * @param first guest cluster, higher than all stored before
   * @throws Qcow2cError ERR_IO
   */
  async store({ sizes, bytes, subclusters }: PackedClusters, first: GuestCluster): Promise<void> {
    const { clusterSize } = this.#body.geometry;
    let at = 0;
    for (let index = 0, end: number; index < sizes.length; index = end) {
      end = runEnd(sizes, index, clusterSize);
      const size = sizes[index] ?? 0;
      if (size === UNCHANGED || (size === 0 && !this.#hasBacking)) continue;
      const cluster = guestCluster(first + index);
      await this.passOver(cluster);
      if (size === 0) {
        await this.writeZero(cluster, end - index);
      } else if (size < clusterSize) {
        at += await this.writeCompressed(cluster, sizes.subarray(index, end), bytes.subarray(at));
      } else {
        const stored = this.#subclusters(subclusters?.[index]);
        if (this.#parameters.dataFile === undefined) {
          await this.writeNormal(cluster, bytes.subarray(at, at + size), stored);
        } else {
          await this.mapExternal(cluster, stored);
        }
        at += size;
      }
      this.#next = guestCluster(first + end);
    }
  }

  /**
   * Skips the guest clusters before `cluster` that were not stored. With preallocation they get their host clusters; in
   * an existing image they become zeros that hide its backing file.
   */
  async passOver(cluster: GuestCluster): Promise<void> {
    const count = cluster - this.#next;
    if (count === 0) return;
    if (this.#parameters.preallocation !== 'off') await this.reserve(this.#next, count);
    else if (this.#hidesBacking) await this.writeZero(this.#next, count);
    this.#next = cluster;
  }

  /**
   * Stores contiguous guest clusters compressed; not with an external data file. Payloads without a gap in the file go
   * to the cache in one call.
   * @param lengths of each payload in bytes, shorter than a cluster
   * @param payloads without gaps, perhaps followed by other bytes; copied before this resolves
   * @returns the number of the payloads' bytes
   */
  async writeCompressed(first: GuestCluster, lengths: Uint32Array, payloads: Uint8Array): Promise<number> {
    this.#expectDataFile(false);
    const { allocator, cache, geometry } = this.#body;
    /** The first cluster that has its place but is not yet in the cache, with its offset in the file. */
    let pending = 0;
    let place = 0;
    /** Where its payload begins, and where the last one ends. */
    let from = 0;
    let at = 0;
    const sendUpTo = async (to: number) => {
      if (to > pending)
        await cache.writeRun(place, lengths.subarray(pending, to), payloads.subarray(from, at));
      pending = to;
      from = at;
    };
    await this.#eachTable(first, lengths.length, async (setEntry, cluster, clusters) => {
      const begin = cluster - first;
      for (let index = 0; index < clusters; index += 1) {
        const length = lengths[begin + index] ?? 0;
        const { offset, padding } = allocator.allocateBytes(length);
        if (offset !== place + at - from) await sendUpTo(begin + index);
        if (padding > 0) await cache.write(offset - padding, new Uint8Array(padding));
        if (from === at) place = offset;
        setEntry(encodeCompressedCluster(offset, length, geometry.clusterBits), 0n, index);
        at += length;
      }
    });
    await sendUpTo(lengths.length);
    this.counts.compressedClusters += lengths.length;
    this.counts.compressedBytes += at;
    return at;
  }

  /**
   * Stores a guest cluster uncompressed; not with an external data file.
   * @param bytes one cluster; copied before this resolves
   * @param subclusters with extended L2 entries: the subclusters that hold data or zeros
   */
  async writeNormal(cluster: GuestCluster, bytes: Uint8Array, subclusters = ALL_DATA): Promise<void> {
    this.#expectDataFile(false);
    const second = encodeSubclusters(subclusters);
    await this.#eachTable(cluster, 1, (setEntry) =>
      this.#body.run.addCluster(bytes, (offset) => setEntry(encodeNormalCluster(offset), second)),
    );
    this.counts.normalClusters += 1;
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
   * Preallocates guest clusters: each gets a host cluster that is not written. They read as the content of the file
   * there (zeros in a hole); with extended L2 entries as unallocated.
   */
  async reserve(first: GuestCluster, count = 1): Promise<void> {
    const { geometry, dataFile } = this.#parameters;
    await this.#eachTable(first, count, async (setEntry, cluster, clusters) => {
      if (dataFile === undefined) {
        await this.#body.run.reserve(clusters, (offset) => {
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

  /** Visits the guest clusters from `first` on, one L2 table at a time. */
  async #eachTable(
    first: GuestCluster,
    count: number,
    visit: (setEntry: SetEntry, cluster: GuestCluster, clusters: number) => void | Promise<void>,
  ): Promise<void> {
    const { l2 } = this.#body;
    for (let cluster = first, left = count; left > 0; ) {
      const clusters = Math.min(left, l2.reachFrom(cluster));
      if (l2.passes(cluster)) await l2.complete();
      await visit(l2.entriesOf(cluster, clusters), cluster, clusters);
      await this.#body.writeCompleteTables();
      cluster = guestCluster(cluster + clusters);
      left -= clusters;
    }
  }

  #subclusters(data: number | undefined): Subclusters | undefined {
    if (data === undefined) return undefined;
    // Without a backing file, unallocated subclusters read as zeros.
    return { data, zero: this.#hasBacking ? ALL_SUBCLUSTERS - data : 0 };
  }

  #externalEntry(cluster: GuestCluster): bigint {
    return encodeExternalCluster(guestOffset(cluster * this.#parameters.geometry.clusterSize));
  }

  #expectDataFile(expected: boolean): void {
    if ((this.#parameters.dataFile !== undefined) !== expected) {
      throw internalError(`a cluster for the ${expected ? 'data' : 'image'} file, which holds no clusters`);
    }
  }
}

/** @returns the end of the clusters from `index` on that are stored together: compressed ones, or zeros */
function runEnd(sizes: Uint32Array, index: number, clusterSize: number): number {
  const size = sizes[index] ?? 0;
  let end = index + 1;
  if (size === 0) {
    while (sizes[end] === 0) end += 1;
  } else if (size < clusterSize) {
    for (let next = sizes[end]; next !== undefined && next > 0 && next < clusterSize; next = sizes[end])
      end += 1;
  }
  return end;
}
