/** Stores the clusters that the workers pack into a qcow2 image, in guest order. */
import { guestCluster } from '../qcow2/addresses.js';
import type { ImageParameters } from '../qcow2/create-options.js';
import type { ImageWriter } from '../qcow2/image-writer.js';
import type { Subclusters } from '../qcow2/l2-entry.js';
import { ALL_SUBCLUSTERS } from '../qcow2/subclusters.js';
import type { RawWriter } from '../raw/raw-writer.js';
import { type CompressClusters, UNCHANGED } from '../workers/messages/compression.js';
import type { PlannedItem } from '../workers/plan.js';
import type { ItemResult } from '../workers/pool.js';

type PackedItem = ItemResult<CompressClusters>;

export interface ClusterStoreParts {
  readonly writer: ImageWriter;
  /** Takes the guest clusters of an image with an external data file. */
  readonly dataWriter: RawWriter | undefined;
  readonly parameters: ImageParameters;
  /** Whether guest clusters that are not allocated show a backing file. */
  readonly hasBacking: boolean;
  /** Whether guest clusters between items hide the backing file of an existing image. */
  readonly hidesBacking: boolean;
}

export class ClusterStore {
  readonly #parts: ClusterStoreParts;
  readonly #clusterSize: number;
  /** The first guest cluster that is not yet stored or passed over. */
  #next = 0;
  #copied = 0;
  #corrected: number | undefined;

  constructor(parts: ClusterStoreParts) {
    this.#parts = parts;
    this.#clusterSize = parts.parameters.geometry.clusterSize;
  }

  /** Compressed clusters that are the payloads of the source. */
  get copied(): number {
    return this.#copied;
  }

  /** Clusters that the engine compressed wrongly at first; undefined: the payloads were not checked. */
  get corrected(): number | undefined {
    return this.#corrected;
  }

  /** Bytes that the stored clusters take in the image. */
  get storedBytes(): number {
    const { compressedBytes, normalClusters } = this.#parts.writer.counts;
    return compressedBytes + normalClusters * this.#clusterSize;
  }

  /** Stores the clusters of an item. Items come in guest order, one at a time. @throws Qcow2cError ERR_IO */
  async store(packed: PackedItem, { guestOffset, length }: PlannedItem): Promise<void> {
    const { writer, dataWriter } = this.#parts;
    const { sizes, bytes } = packed;
    const first = guestOffset / this.#clusterSize;
    let at = 0;
    for (const [index, size] of sizes.entries()) {
      if (size === UNCHANGED) continue;
      const cluster = first + index;
      if (size === 0) {
        await this.#storeZeros(cluster);
        continue;
      }
      await this.passOver(cluster);
      const payload = bytes.subarray(at, at + size);
      if (size < this.#clusterSize) {
        await writer.writeCompressed(guestCluster(cluster), payload);
      } else if (dataWriter === undefined) {
        await writer.writeNormal(guestCluster(cluster), payload, this.#subclusters(packed, index));
      } else {
        await writer.mapExternal(guestCluster(cluster), this.#subclusters(packed, index));
      }
      this.#next = cluster + 1;
      at += size;
    }
    this.#copied += packed.copied;
    if (packed.corrected !== undefined) this.#corrected = (this.#corrected ?? 0) + packed.corrected;
    await dataWriter?.write(guestOffset, ...unpacked(packed, this.#clusterSize, length));
  }

  /**
   * Skips the guest clusters before `cluster` that no item stored. With preallocation they get their host clusters; in
   * an existing image they become zeros that hide its backing file.
   */
  async passOver(cluster: number): Promise<void> {
    const { writer, parameters, hidesBacking } = this.#parts;
    const count = cluster - this.#next;
    if (count === 0) return;
    if (parameters.preallocation !== 'off') await writer.reserve(guestCluster(this.#next), count);
    else if (hidesBacking) await writer.writeZero(guestCluster(this.#next), count);
    else return;
    this.#next = cluster;
  }

  /** Zeros need an entry only where a backing file would show through. */
  async #storeZeros(cluster: number): Promise<void> {
    if (!this.#parts.hasBacking) return;
    await this.passOver(cluster);
    await this.#parts.writer.writeZero(guestCluster(cluster));
    this.#next = cluster + 1;
  }

  #subclusters({ subclusters }: PackedItem, index: number): Subclusters | undefined {
    if (subclusters === undefined) return undefined;
    const data = subclusters[index] ?? 0;
    // Without a backing file, unallocated subclusters read as zeros.
    return { data, zero: this.#parts.hasBacking ? ALL_SUBCLUSTERS - data : 0 };
  }
}

/** Moves the normal clusters of an item to their places on the disk, with zeros between them. @returns with their runs */
function unpacked(
  { sizes, bytes }: PackedItem,
  clusterSize: number,
  length: number,
): [bytes: Uint8Array, runs: Uint32Array] {
  const runs: number[] = [];
  let stored = sizes.reduce((count, size) => count + (size === clusterSize ? 1 : 0), 0);
  for (let index = sizes.length - 1; index >= 0; index -= 1) {
    const at = index * clusterSize;
    if (sizes[index] !== clusterSize) {
      bytes.fill(0, at, at + clusterSize);
      continue;
    }
    stored -= 1;
    bytes.copyWithin(at, stored * clusterSize, (stored + 1) * clusterSize);
    runs.unshift(at, Math.min(at + clusterSize, length));
  }
  return [bytes.subarray(0, length), Uint32Array.from(runs)];
}
