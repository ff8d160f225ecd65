/** What the main thread and the workers say to each other. Plain data and shared memory only. */
import type { CompressionType } from '../compression-type.js';
import type { CompressorChoice } from '../engines/codec.js';

/** Told to every worker of a pool before its first item: what is to become of them. */
export type WorkerSetup = PackingSetup | ComparisonSetup | ExaminationSetup;

/** What every worker needs to read. Sizes in bytes. */
interface ReadingSetup {
  /** Of the largest work item. */
  readonly itemSize: number;
  /** The compression types of the sources, which the worker must be able to inflate. */
  readonly inflate: readonly CompressionType[];
  /** Whether Node.js itself inflates what it can, and no library of the system is loaded for that. Default: false. */
  readonly inflateWithNode?: boolean | undefined;
  /**
   * Whether what cannot be read or inflated becomes zeros instead of a failure. In a comparison: of the first
   * disk only.
   */
  readonly salvage: boolean;
  /** What offset, length and address of a read must be multiples of. */
  readonly readAlignment: number;
  /** Where results go: one slot of `itemSize` bytes for each item in flight; empty when answers need none. */
  readonly results: SharedArrayBuffer;
  /** Where items of a stream come in, slots of the same size; undefined unless the source is a stream. */
  readonly arrivals?: SharedArrayBuffer | undefined;
  /** Its only element is not 0 when nobody wants an answer any more: see `throwIfCancelled`. */
  readonly cancellation?: Int32Array | undefined;
}

/** For a conversion. Sizes in bytes. */
export interface PackingSetup extends ReadingSetup {
  /**
   * What becomes of an item: `clusters` for a qcow2 image, one answer a cluster; `runs` for a raw one, the
   * parts that are to be written.
   */
  readonly output: 'clusters' | 'runs';
  /** Of a guest cluster of the target, a divisor of the item size. For runs: any power of two up to that. */
  readonly clusterSize: number;
  /** How to compress; undefined stores every cluster as it is. */
  readonly compressor: CompressorChoice | undefined;
  /** Whether a compressed cluster of the source may go into the target as it is. */
  readonly passthrough: boolean;
  /** Zero clusters are stored like any other (-S 0). */
  readonly keepZeros: boolean;
  /** The smallest run of zeros that is not stored, when nothing is compressed; a multiple of 512. */
  readonly sparseSize: number;
  /** Whether normal clusters are described by subcluster, 32 to the cluster (extended L2 entries). */
  readonly subclusters: boolean;
}

/** For looking for the first difference between two disks. */
export interface ComparisonSetup extends ReadingSetup {
  readonly output: 'comparison';
}

/** For looking at the compressed clusters of one image. */
export interface ExaminationSetup extends ReadingSetup {
  readonly output: 'examination';
  readonly type: CompressionType;
  /** Of the image's file. */
  readonly descriptor: number;
  /** What each payload inflates to, exactly. */
  readonly clusterSize: number;
  /** Whether to find out what only a look into each stream tells (`StreamFacts`). */
  readonly streamFacts: boolean;
}

/** A part of a work item that the source has bytes for; the rest of the item is zeros. In bytes. */
export type Segment = DataSegment | CompressedSegment | ArrivedSegment;

interface SegmentPlace {
  /** From the item's start. */
  readonly at: number;
  readonly length: number;
}

/** Bytes as they are in a file. */
export interface DataSegment extends SegmentPlace {
  readonly kind: 'data';
  readonly descriptor: number;
  /** In the file behind the descriptor. */
  readonly offset: number;
}

/** Bytes of a compressed cluster. */
export interface CompressedSegment extends SegmentPlace {
  readonly kind: 'compressed';
  readonly type: CompressionType;
  readonly descriptor: number;
  /** Of the payload in the file. */
  readonly offset: number;
  /** How much the payload takes at most; what lies past the end of the file reads as zeros. */
  readonly storedLength: number;
  /** What the payload inflates to, exactly. */
  readonly inflatedLength: number;
  /** Inflated bytes before the segment. */
  readonly skip: number;
}

/** Bytes that have come in already: the start of the slot of `arrivals` with the item's own slot number. */
export interface ArrivedSegment extends SegmentPlace {
  readonly kind: 'arrived';
}

/** A guest range of whole clusters to read and compress. */
export interface WorkItem {
  /** Ascending. */
  readonly segments: readonly Segment[];
  /** With a backing file below the target: what that holds there, likewise. */
  readonly backing?: readonly Segment[] | undefined;
  /**
   * With a backing file: the clusters that may differ from it, as pairs of indices from the item's start,
   * [from, to), ascending. Segments cover these only.
   */
  readonly changed?: readonly (readonly [from: number, to: number])[] | undefined;
  readonly clusters: number;
  /**
   * Bytes of the item, at most its clusters'; less only where the disk ends inside its last cluster.
   */
  readonly length: number;
  /** Index of the slot that takes the result. */
  readonly slot: number;
}

/** Guest ranges of two disks to read and hold against each other. */
export interface ComparisonItem {
  /** Ascending. */
  readonly stretches: readonly Stretch[];
  readonly slot: number;
}

/** A range that is read as a whole. In bytes. */
export interface Stretch {
  /** From the item's start. */
  readonly at: number;
  readonly length: number;
  /** What each disk has for it, with places from the start of the stretch; the rest is zeros. */
  readonly segments: readonly [readonly Segment[], readonly Segment[]];
}

/** Numbers of a payload in an ExaminationItem. */
export const PAYLOAD_FIELDS = 2;

/** Compressed clusters to look at. */
export interface ExaminationItem {
  /** Of each payload its offset in the file and how much it takes at most, in bytes; one behind the other. */
  readonly payloads: Float64Array;
}

/**
 * Bytes of each guest cluster in the slot, where they lie one behind the other: 0 = a zero cluster,
 * the cluster size = stored as it is, UNCHANGED = as in the backing file, anything between = the length of
 * the compressed cluster.
 */
export type ClusterSizes = Uint32Array;

export const UNCHANGED = 0xffffffff;

/** Why bytes could not be had. Plain data: custom errors lose their fields between threads. */
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
    }
  | {
      /** A payload that does not inflate to one cluster. */
      readonly kind: 'corrupt';
      readonly descriptor: number;
      readonly offset: number;
      /** Of the segment, in bytes from the item's start. */
      readonly at: number;
      readonly message: string;
    };

/** What was taken for zeros because it could not be read. In bytes from the item's start. */
export interface UnreadableItemRange {
  readonly at: number;
  readonly length: number;
  readonly failure: ItemFailure;
  /** Its bytes were had all the same: QEMU reads the payload, or salvage could. Also without salvage. */
  readonly isKept?: true;
}

/** The answer for `clusters`. */
export interface PackedClusters {
  readonly sizes: ClusterSizes;
  /** How many of them are payloads of the source as they were. */
  readonly copied: number;
  /** How many the engine had compressed wrongly at first; undefined: nobody has looked. */
  readonly corrected?: number | undefined;
  /**
   * With subclusters, for each normal cluster the ones that hold data: bit n for subcluster n. With a
   * backing file the others are zeros, without one they are left unallocated.
   */
  readonly subclusters: Uint32Array | undefined;
  readonly unreadable: readonly UnreadableItemRange[];
}

/** The answer for `runs`: the item lies in the slot as it is on the disk. */
export interface FoundRuns {
  /** What is to be written: pairs of bytes from the item's start, [from, to), ascending; the rest is zeros. */
  readonly runs: Uint32Array;
  readonly unreadable: readonly UnreadableItemRange[];
}

/** The answer for `comparison`: what comes first of a difference and a stretch that cannot be read, if any does. */
export interface Compared {
  /**
   * The first sector in which the two differ, in bytes from the item's start; stretches are cut into sectors of
   * 512 bytes from their own start.
   */
  readonly difference: number | undefined;
  /** One stretch, or none. */
  readonly unreadable: readonly UnreadableItemRange[];
  /** Whose stretch it is. */
  readonly unreadableSide: 0 | 1 | undefined;
}

/** What the sound streams of an item are like. */
export interface StreamFacts {
  /** Bytes that they take up, without the trailing ones of their last sectors. */
  readonly payloadBytes: number;
  /**
   * What a reader must keep to inflate any of them, in bytes: of deflate the farthest distance that is looked back,
   * rounded up to a power of two, perhaps of an earlier item; of zstd the largest window of a frame header.
   */
  readonly window: number;
  /** How many end in a checksum of their content (zstd). */
  readonly checksums: number;
}

/** A payload that is not one of exactly a cluster, or cannot be read. */
export interface BrokenPayload {
  /** In the item. */
  readonly index: number;
  readonly failure: ItemFailure;
  /** Whether QEMU reads the cluster all the same. */
  readonly isReadable: boolean;
}

/** The answer for `examination`. */
export interface Examined {
  /** If they were asked for. */
  readonly facts: StreamFacts | undefined;
  /** Ascending. */
  readonly broken: readonly BrokenPayload[];
}

/** What a worker is given, as the output of its setup has it. */
export type PoolItem = WorkItem | ComparisonItem | ExaminationItem;
export type WorkAnswer = PackedClusters | FoundRuns | Compared | Examined;
export type WorkResult = WorkAnswer | { readonly failure: ItemFailure };

/** What a thread is asked, in this order: it works for one pool after the other. */
export type Question =
  | { readonly kind: 'setup'; readonly setup: WorkerSetup }
  /** Answered with a WorkResult. */
  | { readonly kind: 'item'; readonly item: PoolItem }
  /** To give up what it holds for the pool. */
  | { readonly kind: 'release' };
export type Reply = { readonly answer: unknown } | { readonly thrown: unknown };
