/** The task of a conversion to qcow2: read items and pack their clusters, compressed or uncompressed. */
import type { CompressorChoice } from '../../engines/codec.js';
import type { PackedClusters } from '../../qcow2/packed-clusters.js';
import type { Segment } from '../segments.js';
import type { Task, TaskAnswer, TaskItem, TaskSetup } from './task.js';

export interface CompressClusters extends Task {
  readonly setup: CompressionSetup;
  readonly item: CompressionItem;
  readonly answer: CompressionAnswer;
}

/** Sizes in bytes. */
export interface CompressionSetup extends TaskSetup {
  readonly task: 'compress clusters';
  /** Of the target's guest clusters; divides the item size. */
  readonly clusterSize: number;
  /** undefined: store every cluster uncompressed. */
  readonly compressor: CompressorChoice | undefined;
  /** Copy compressed clusters of the source that the target can hold unchanged. */
  readonly passthrough: boolean;
  /** Store zero clusters like any other (-S 0). */
  readonly keepZeros: boolean;
  /** The smallest run of zeros that is not stored, when nothing is compressed; a multiple of 512. */
  readonly sparseSize: number;
  /** Describe normal clusters by subcluster (extended L2 entries). */
  readonly subclusters: boolean;
  /** Compute the digests of the item's blocks. Default: false. */
  readonly digests?: boolean | undefined;
}

/** A guest range of whole clusters. */
export interface CompressionItem extends TaskItem {
  /** Ascending. */
  readonly segments: readonly Segment[];
  /** The segments of the target's backing file in the same range; undefined: it is not compared. */
  readonly backing?: readonly Segment[] | undefined;
  /**
   * With a backing file: the clusters that may differ from it, as pairs of indices from the item's start,
   * [from, to), ascending. The segments of the backing file cover these clusters only, and without digests so do the
   * segments of the source.
   */
  readonly changed?: readonly (readonly [from: number, to: number])[] | undefined;
  /** Bytes of the item: less than its clusters only where the disk ends inside the last one. */
  readonly length: number;
}

/** The clusters lie in the item's slot. */
export interface CompressionAnswer extends TaskAnswer, Omit<PackedClusters, 'bytes'> {
  /** Number of compressed clusters that were copied from the source. */
  readonly copied: number;
  /** Number of clusters that the engine compressed wrongly at first; undefined: payloads are not checked. */
  readonly corrected?: number | undefined;
  /** As in DigestedBlocks, if the setup asks for them. */
  readonly digests?: Uint8Array | undefined;
}
