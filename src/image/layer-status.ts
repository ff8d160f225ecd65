/**
 * The block status of one image of a chain: whether a guest range is allocated, and where it is stored. The answers
 * equal those of QEMU's block layer byte for byte (bdrv_co_block_status in block/io.c with the parts of block/qcow2.c,
 * block/raw-format.c and block/file-posix.c).
 */
import type { ClusterLookup } from '../qcow2/cluster-lookup.js';
import { Qcow2Layer } from '../qcow2/qcow2-layer.js';
import type { PastEndRule } from '../qcow2/table-cache.js';
import { RawPart } from '../raw/raw-part.js';
import type { OpenedLayer } from './open-image.js';
import { isPreallocated } from './preallocation.js';
import type { HostFile } from './source.js';

/** A range with one status, from the requested offset on. */
export interface LayerStatus {
  /** Bytes. */
  readonly length: number;
  /** The range stores data. */
  readonly data: boolean;
  /** The range reads as zeros. With `data`: allocated, but a hole in the file. */
  readonly zero: boolean;
  /** For compressed clusters: the most bytes that their payloads may take. */
  readonly storedLength: number | undefined;
  /** The place of the first byte; the other bytes follow it. */
  readonly place: Place | undefined;
}

/** A place in a file. */
interface Place {
  /** Bytes. */
  readonly offset: number;
  /** The name of the file. */
  readonly file: string;
}

/** @returns the status at a guest offset in bytes. Neither data nor zero: the range belongs to the backing file */
export type StatusOf = (offset: number) => Promise<LayerStatus>;

/**
 * @param pastEnd how tables past the end of the file are handled
 * @param compressed `each`: one answer for each compressed cluster, as in QEMU; `together`: one for consecutive ones
 * @returns answers for guest bytes below the layer's size
 */
export function statusOf(
  { layer }: OpenedLayer,
  pastEnd: PastEndRule,
  compressed: 'each' | 'together' = 'each',
): StatusOf {
  if (layer instanceof Qcow2Layer) return new Qcow2Status(layer, layer.lookup({ pastEnd, compressed })).at;
  const start = layer instanceof RawPart ? layer.start : 0;
  return async (offset) => {
    const { kind, length } = await layer.map(offset);
    const place = { offset: start + offset, file: layer.name };
    return { ...NOTHING, length, data: kind === 'data', zero: kind === 'zero', place };
  };
}

const NOTHING = { data: false, zero: false, storedLength: undefined, place: undefined };

/** @param places as in FoundClusters @returns the sum of their lengths in bytes */
function storedLengthOf(places: readonly number[]): number {
  return places.reduce((sum, value, index) => (index % 2 === 1 ? sum + value : sum), 0);
}

class Qcow2Status {
  readonly #layer: Qcow2Layer;
  readonly #lookup: ClusterLookup;
  readonly #data: HostFile;
  #isPreallocated: boolean | undefined;

  constructor(layer: Qcow2Layer, lookup: ClusterLookup) {
    this.#layer = layer;
    this.#lookup = lookup;
    this.#data = layer.dataFile ?? layer.file;
  }

  readonly at: StatusOf = async (offset) => {
    const found = await this.#lookup.find(offset);
    const { length } = found;
    switch (found.kind) {
      case 'unreadable':
        throw found.error;
      case 'compressed':
        return { ...NOTHING, length, data: true, storedLength: storedLengthOf(found.places) };
      case 'normal': {
        this.#isPreallocated ??= await isPreallocated(this.#layer.header, this.#layer.file);
        const place = this.#place(found.host);
        const stored = { ...NOTHING, length, data: true, place };
        return this.#isPreallocated ? { ...stored, ...(await this.#written(found.host, length)) } : stored;
      }
      default:
        return { ...NOTHING, length, zero: found.kind === 'zero', place: this.#place(found.host) };
    }
  };

  #place(host: number | undefined): Place | undefined {
    return host === undefined ? undefined : { offset: host, file: this.#data.name };
  }

  /** In a preallocated image the holes of the file, not its tables, show which clusters were written. */
  async #written(host: number, length: number): Promise<Pick<LayerStatus, 'length' | 'zero'>> {
    const { size } = this.#data;
    // Everything past the end of the file reads as zeros.
    if (host >= size) return { length, zero: true };
    const range = await this.#data.map(host);
    const zero = range.kind === 'zero';
    if (zero && host + range.length >= size) return { length, zero };
    return { length: Math.min(length, range.length), zero };
  }
}
