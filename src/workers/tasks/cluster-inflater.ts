/**
 * Reads payloads and inflates them. The compressed cluster descriptor is not trusted: its length is bounded, and the
 * file may end before it. A payload that QEMU does not read is an error; with salvage, its recoverable part is used.
 */
import type { CompressionType } from '../../compression-type.js';
import type { Decompressor } from '../../engines/codec.js';
import { CorruptPayload } from '../../engines/corrupt-payload.js';
import { internalError } from '../../errors.js';
import { SECTOR_SIZE } from '../../sector.js';
import { ItemError, type ItemFailure } from '../item-failure.js';
import type { PositionalReader } from './positional-reader.js';
import type { ClusterSegment } from './split-segments.js';

export type Decompressors = ReadonlyMap<CompressionType, Decompressor>;

/**
 * The most bytes that a compressed cluster descriptor can describe: a sector and 2^(cluster_bits - 8) - 1 additional
 * ones. Specification: "Compressed Clusters Descriptor".
 */
const mostStored = (clusterSize: number) => 2 * clusterSize + SECTOR_SIZE;

/** The outcome for a payload that could be read. Without salvage, QEMU reads it too. */
export interface InflatedCluster {
  /** The payload without trailing bytes, valid until the next read; undefined if it does not yield just a cluster. */
  readonly payload: Uint8Array | undefined;
  /** Why the payload is malformed, and the number of bytes of the cluster that it yielded; the rest is zeros. */
  readonly flaw: { readonly failure: ItemFailure; readonly yielded: number } | undefined;
}

export class ClusterInflater {
  readonly #reader: PositionalReader;
  readonly #decompressors: Decompressors;
  readonly #salvage: boolean;
  #scratch: Uint8Array = new Uint8Array(0);
  /** The cluster in `#scratch`, and the result for its payload. */
  #last: { readonly segment: ClusterSegment; readonly inflated: InflatedCluster } | undefined;

  /** @param salvage use the recoverable part of a payload that QEMU does not read, instead of failing */
  constructor(reader: PositionalReader, decompressors: Decompressors, salvage: boolean) {
    this.#reader = reader;
    this.#decompressors = decompressors;
    this.#salvage = salvage;
  }

  /**
   * Inflates the whole cluster of a segment.
   * @param into receives `inflatedLength` bytes; undefined content after a failure
   * @throws ItemError when a read fails; without salvage also for a payload that QEMU does not read
   */
  inflateInto(segment: ClusterSegment, into: Uint8Array): InflatedCluster {
    const { type, descriptor, offset, storedLength, runEnd, inflatedLength, at } = segment;
    const corrupt = (message: string): ItemFailure => ({ kind: 'corrupt', descriptor, offset, at, message });
    if (storedLength > mostStored(inflatedLength)) {
      throw new ItemError(corrupt(`it takes up ${storedLength} bytes, more than a compressed cluster can`));
    }
    const decompressor = this.#decompressors.get(type);
    if (decompressor === undefined) throw internalError(`a worker without ${type} got a ${type} payload`);
    const { bytes, found } = this.#reader.read(descriptor, offset, storedLength, runEnd);
    if (found === 0) throw new ItemError(corrupt('it lies past the end of the file'));
    try {
      return { payload: bytes.subarray(0, decompressor.decompress(bytes, into)), flaw: undefined };
    } catch (error) {
      if (!(error instanceof CorruptPayload)) throw error;
      const failure = corrupt(error.reason);
      if (error.isReadable) return { payload: undefined, flaw: { failure, yielded: into.length } };
      if (!this.#salvage) throw new ItemError(failure);
      const yielded = decompressor.salvage(bytes.subarray(0, found), into);
      into.fill(0, yielded);
      return { payload: undefined, flaw: { failure, yielded } };
    }
  }

  /**
   * Inflates into memory of its own. Successive segments of the same cluster inflate it once.
   * @returns the whole cluster of a segment, valid until the next call, and the result for its payload
   * @throws ItemError as `inflateInto`
   */
  inflate(segment: ClusterSegment): InflatedCluster & { readonly cluster: Uint8Array } {
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

function isSameCluster(a: ClusterSegment, b: ClusterSegment): boolean {
  return (
    a.descriptor === b.descriptor &&
    a.offset === b.offset &&
    a.storedLength === b.storedLength &&
    a.type === b.type &&
    a.inflatedLength === b.inflatedLength
  );
}
