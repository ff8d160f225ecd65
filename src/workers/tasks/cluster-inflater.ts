/**
 * Reads payloads and inflates them, in a worker. What a descriptor says of its payload is not trusted: the length is
 * bounded, the file may end early, and only what QEMU reads passes, or with salvage what can be had.
 */
import type { CompressionType } from '../../compression-type.js';
import type { Decompressor } from '../../engines/codec.js';
import { CorruptPayload } from '../../engines/corrupt-payload.js';
import { internalError } from '../../errors.js';
import type { CompressedSegment, ItemFailure } from '../messages.js';
import type { PositionalReader } from './positional-reader.js';
import { SegmentError } from './segment-error.js';

export type Decompressors = ReadonlyMap<CompressionType, Decompressor>;

/**
 * The most a compressed cluster descriptor can say (specification: "Compressed Clusters Descriptor"): a sector
 * and 2^(cluster_bits - 8) - 1 additional ones.
 */
const mostStored = (clusterSize: number) => 2 * clusterSize + 512;

/** What came of a payload that was not a read error or, without salvage, unreadable. */
export interface InflatedCluster {
  /** The payload without trailing bytes, valid until the next read; undefined unless it is one of exactly a cluster. */
  readonly payload: Uint8Array | undefined;
  /** What is wrong with it, and how many bytes of the cluster it yielded all the same; the rest is zeros. */
  readonly flaw: { readonly failure: ItemFailure; readonly yielded: number } | undefined;
}

export class ClusterInflater {
  readonly #reader: PositionalReader;
  readonly #decompressors: Decompressors;
  readonly #salvage: boolean;
  #scratch: Uint8Array = new Uint8Array(0);
  /** The cluster that `#scratch` holds, and what came of its payload. */
  #last: { readonly segment: CompressedSegment; readonly inflated: InflatedCluster } | undefined;

  /** @param salvage whether a payload that QEMU does not read gives what can be had of it, instead of a failure */
  constructor(reader: PositionalReader, decompressors: Decompressors, salvage: boolean) {
    this.#reader = reader;
    this.#decompressors = decompressors;
    this.#salvage = salvage;
  }

  /**
   * Inflates the whole cluster that a segment is of.
   * @param into takes it: `inflatedLength` bytes; whatever was written there before a failure
   * @throws SegmentError when a read fails; without salvage also when QEMU does not read the payload
   */
  inflateInto(segment: CompressedSegment, into: Uint8Array): InflatedCluster {
    const { type, descriptor, offset, storedLength, inflatedLength, at } = segment;
    const corrupt = (message: string): ItemFailure => ({ kind: 'corrupt', descriptor, offset, at, message });
    if (storedLength > mostStored(inflatedLength)) {
      throw new SegmentError(
        corrupt(`it takes up ${storedLength} bytes, more than a compressed cluster can`),
      );
    }
    const decompressor = this.#decompressors.get(type);
    if (decompressor === undefined) throw internalError(`a worker without ${type} got a ${type} payload`);
    const { bytes, found } = this.#reader.read(descriptor, offset, storedLength);
    if (found === 0) throw new SegmentError(corrupt('it lies past the end of the file'));
    try {
      return { payload: bytes.subarray(0, decompressor.decompress(bytes, into)), flaw: undefined };
    } catch (error) {
      if (!(error instanceof CorruptPayload)) throw error;
      const failure = corrupt(error.reason);
      if (error.isReadable) return { payload: undefined, flaw: { failure, yielded: into.length } };
      if (!this.#salvage) throw new SegmentError(failure);
      const yielded = decompressor.salvage(bytes.subarray(0, found), into);
      into.fill(0, yielded);
      return { payload: undefined, flaw: { failure, yielded } };
    }
  }

  /**
   * Inflates into memory of its own. Segments of the same cluster one after the other inflate it once.
   * @returns the whole cluster that a segment is of, valid until the next call, and what came of its payload
   * @throws SegmentError as `inflateInto`
   */
  inflate(segment: CompressedSegment): InflatedCluster & { readonly cluster: Uint8Array } {
    const { inflatedLength } = segment;
    if (this.#scratch.length < inflatedLength) this.#scratch = new Uint8Array(inflatedLength);
    const cluster = this.#scratch.subarray(0, inflatedLength);
    if (this.#last === undefined || !isSameCluster(segment, this.#last.segment)) {
      this.#last = undefined;
      this.#last = { segment, inflated: this.inflateInto(segment, cluster) };
    }
    return { ...this.#last.inflated, cluster };
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
