/** What the main thread and the workers say to each other. Plain data and shared memory only. */
import type { CompressorChoice } from './codec.js';

/** Told to every worker once, when it starts. */
export interface WorkerSetup {
  /** Bytes of a guest cluster. */
  readonly clusterSize: number;
  /** Bytes of the largest work item, a multiple of the cluster size. */
  readonly itemSize: number;
  /** How to compress; undefined stores every cluster as it is. */
  readonly compressor: CompressorChoice | undefined;
  /** Zero clusters are stored like any other (-S 0). */
  readonly keepZeros: boolean;
  /** What offset, length and address of a read must be multiples of, in bytes. */
  readonly readAlignment: number;
  /** Where results go: one slot of `itemSize` bytes for each item in flight. */
  readonly results: SharedArrayBuffer;
}

/** A part of a work item that the source has bytes for; the rest of the item is zeros. In bytes. */
export interface Segment {
  /** From the item's start. */
  readonly at: number;
  readonly length: number;
  readonly descriptor: number;
  /** In the file behind the descriptor. */
  readonly offset: number;
}

/** A guest range of whole clusters to read and compress. */
export interface WorkItem {
  readonly segments: readonly Segment[];
  readonly clusters: number;
  /** Index of the slot that takes the result. */
  readonly slot: number;
}

/**
 * Bytes of each guest cluster in the slot, where they lie one behind the other: 0 = a zero cluster,
 * the cluster size = stored as it is, anything between = the length of the compressed cluster.
 */
export type ClusterSizes = Uint32Array;

/** Why an item could not be done. Plain data: custom errors lose their fields between threads. */
export type ItemFailure =
  | {
      readonly kind: 'read';
      readonly descriptor: number;
      readonly offset: number;
      readonly errno: number | undefined;
      readonly code: string | undefined;
      readonly message: string;
    }
  | {
      readonly kind: 'short';
      readonly descriptor: number;
      readonly offset: number;
      readonly expected: number;
      readonly found: number;
    };

export type WorkResult = { readonly sizes: ClusterSizes } | { readonly failure: ItemFailure };
