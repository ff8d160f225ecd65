/**
 * What one image of a chain has to say of guest bytes: whether they are there, and where. As QEMU's block layer
 * says it (bdrv_co_block_status in block/io.c with the parts of block/qcow2.c, block/raw-format.c and
 * block/file-posix.c), to the byte.
 */
import type { ClusterLookup } from '../qcow2/cluster-lookup.js';
import { Qcow2Layer } from '../qcow2/qcow2-layer.js';
import type { PastEnd } from '../qcow2/table-cache.js';
import { RawPart } from '../raw/raw-part.js';
import type { OpenedLayer } from './open-image.js';
import { isPreallocated } from './preallocation.js';
import type { HostFile } from './source.js';

/** The same answer from the offset asked for on. */
export interface LayerStatus {
  /** Bytes. */
  readonly length: number;
  /** Bytes are stored there. */
  readonly data: boolean;
  /** Nothing but zeros are read there. With `data`: stored, but as a hole in the file. */
  readonly zero: boolean;
  /** Of compressed clusters: how much their payloads take at most, in bytes. */
  readonly storedLength: number | undefined;
  /** Where the first byte has its place, in bytes; the others follow it. */
  readonly place: Place | undefined;
}

export interface Place {
  readonly offset: number;
  /** The name of the file. */
  readonly file: string;
}

/** Neither data nor zero: the image leaves it to its backing file. */
export type StatusOf = (offset: number) => Promise<LayerStatus>;

/**
 * @param pastEnd what becomes of tables that lie past the end of the file
 * @param compressed whether compressed clusters come one by one, as from QEMU, or as many as follow each other
 * @returns answers for guest bytes below the layer's size
 */
export function statusOf(
  { layer }: OpenedLayer,
  pastEnd: PastEnd,
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
        return { ...NOTHING, length, data: true, storedLength: found.storedLength };
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

  /** In a preallocated image the file knows better than the tables whether anything was written. */
  async #written(host: number, length: number): Promise<Pick<LayerStatus, 'length' | 'zero'>> {
    const { size } = this.#data;
    // What lies past the end of the file reads as zeros, however far it reaches.
    if (host >= size) return { length, zero: true };
    const range = await this.#data.map(host);
    const zero = range.kind === 'zero';
    if (zero && host + range.length >= size) return { length, zero };
    return { length: Math.min(length, range.length), zero };
  }
}
