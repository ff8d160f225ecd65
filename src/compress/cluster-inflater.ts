/**
 * Reads payloads and inflates them, in a worker. What a descriptor says of its payload is not trusted: the
 * length is bounded, the file may end early, and only a payload of exactly one cluster passes.
 */
import type { CompressionType } from '../compression-type.js';
import { internalError } from '../errors.js';
import type { Decompressor } from './codec.js';
import { CorruptPayload } from './corrupt-payload.js';
import type { CompressedSegment } from './messages.js';
import type { PositionalReader } from './positional-reader.js';
import { SegmentError } from './segment-error.js';

export type Decompressors = ReadonlyMap<CompressionType, Decompressor>;

/**
 * The most a compressed cluster descriptor can say (specification: "Compressed Clusters Descriptor"): a sector
 * and 2^(cluster_bits - 8) - 1 additional ones.
 */
const mostStored = (clusterSize: number) => 2 * clusterSize + 512;

export class ClusterInflater {
  readonly #reader: PositionalReader;
  readonly #decompressors: Decompressors;
  #scratch: Uint8Array = new Uint8Array(0);
  /** The cluster that `#scratch` holds. */
  #inflated: CompressedSegment | undefined;

  constructor(reader: PositionalReader, decompressors: Decompressors) {
    this.#reader = reader;
    this.#decompressors = decompressors;
  }

  /**
   * Inflates the whole cluster that a segment is of.
   * @param into takes it: `inflatedLength` bytes; whatever was written there before a failure
   * @returns the payload without trailing bytes, valid until the next read
   * @throws SegmentError when a read fails or the payload is not one of exactly a cluster
   */
  inflateInto(segment: CompressedSegment, into: Uint8Array): Uint8Array {
    const { type, descriptor, offset, storedLength, inflatedLength, at } = segment;
    const corrupt = (message: string) =>
      new SegmentError({ kind: 'corrupt', descriptor, offset, at, message });
    if (storedLength > mostStored(inflatedLength)) {
      throw corrupt(`it takes up ${storedLength} bytes, more than a compressed cluster can`);
    }
    const decompressor = this.#decompressors.get(type);
    if (decompressor === undefined) throw internalError(`a worker without ${type} got a ${type} payload`);
    const { bytes, found } = this.#reader.read(descriptor, offset, storedLength);
    if (found === 0) throw corrupt('it lies past the end of the file');
    try {
      return bytes.subarray(0, decompressor.decompress(bytes, into));
    } catch (error) {
      if (error instanceof CorruptPayload) throw corrupt(error.reason);
      throw error;
    }
  }

  /**
   * @returns the whole cluster that a segment is of, valid until the next call; segments of the same cluster one
   *   after the other inflate it once
   * @throws SegmentError as `inflateInto`
   */
  inflate(segment: CompressedSegment): Uint8Array {
    const { inflatedLength } = segment;
    if (this.#scratch.length < inflatedLength) this.#scratch = new Uint8Array(inflatedLength);
    const cluster = this.#scratch.subarray(0, inflatedLength);
    if (this.#inflated === undefined || !isSameCluster(segment, this.#inflated)) {
      this.#inflated = undefined;
      this.inflateInto(segment, cluster);
      this.#inflated = segment;
    }
    return cluster;
  }
}

function isSameCluster(a: CompressedSegment, b: CompressedSegment): boolean {
  return (
    a.descriptor === b.descriptor &&
    a.offset === b.offset &&
    a.storedLength === b.storedLength &&
    a.type === b.type &&
    a.inflatedLength === b.inflatedLength
  );
}
