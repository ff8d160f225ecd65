/**
 * Tells where to read the bytes of guest clusters: looks them up in the tables and compares the offsets with the length
 * of the files. Specification: "Cluster mapping".
 */
import type { CompressionType } from '../compression-type.js';
import { atGuestOffset, quoted } from '../errors.js';
import type { HostFile, LayerRange } from '../image/source.js';
import { ClusterLookup, fileErrorOnly, type ImageTables } from './cluster-lookup.js';
import { clusterSizeOf } from './geometry.js';

/** Properties of an image that its map needs. */
export interface MappedImage extends Omit<ImageTables, 'external'> {
  readonly compressionType: CompressionType;
}

export class ClusterMap {
  readonly #lookup: ClusterLookup;
  readonly #descriptor: number;
  readonly #data: HostFile;
  readonly #type: CompressionType;
  readonly #clusterSize: number;

  /**
   * @param file the image
   * @param dataFile the external data file; undefined: the image holds its clusters
   */
  constructor(image: MappedImage, file: HostFile, dataFile: HostFile | undefined) {
    const settings = { pastEnd: 'refused', keptPlaces: false, compressed: 'together' } as const;
    this.#lookup = new ClusterLookup({ ...image, external: dataFile !== undefined }, file, settings);
    this.#descriptor = file.descriptor;
    this.#data = dataFile ?? file;
    this.#type = image.compressionType;
    this.#clusterSize = clusterSizeOf(image);
  }

  /**
   * @param guest bytes, below the virtual size
   * @returns the range from there on, at most up to the next table, cluster or piece of a table
   */
  async map(guest: number): Promise<LayerRange> {
    const found = await this.#lookup.find(guest);
    switch (found.kind) {
      case 'normal':
        return this.#stored(guest, found.host, found.length);
      case 'compressed': {
        const { length, places, skip } = found;
        const [type, descriptor, clusterSize] = [this.#type, this.#descriptor, this.#clusterSize];
        return { kind: 'compressed', length, payloads: { type, descriptor, clusterSize, places }, skip };
      }
      case 'unreadable':
        return found;
      default:
        return { kind: found.kind, length: found.length };
    }
  }

  /**
   * Bytes stored uncompressed. If the file ends inside a cluster, the rest of the cluster reads as zeros. A cluster
   * that starts past the end of the file is lost.
   */
  async #stored(guest: number, host: number, length: number): Promise<LayerRange> {
    const data = this.#data;
    const inCluster = host % this.#clusterSize;
    if (host < data.size) {
      try {
        const range = await data.map(host);
        return { ...range, length: Math.min(range.length, length) };
      } catch (error) {
        const clusterLeft = Math.min(length, this.#clusterSize - inCluster);
        return { kind: 'unreadable', length: clusterLeft, error: atGuestOffset(fileErrorOnly(error), guest) };
      }
    }
    if (host - inCluster < data.size) {
      return { kind: 'zero', length: Math.min(length, this.#clusterSize - inCluster) };
    }
    const reason = `its data lies at offset ${host}, past the end of ${quoted(data.name)}`;
    return { kind: 'unreadable', length, error: this.#lookup.broken(guest, reason) };
  }
}
