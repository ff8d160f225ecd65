/** The task of `check --data` and `info --deep`: inflate compressed clusters and describe their streams. */
import type { CompressionType } from '../../compression-type.js';
import type { Task, TaskAnswer, TaskItem, TaskSetup } from './task.js';

export interface ExaminePayloads extends Task {
  readonly setup: ExaminationSetup;
  readonly item: ExaminationItem;
  readonly answer: ExaminedPayloads;
}

export interface ExaminationSetup extends TaskSetup {
  readonly task: 'examine payloads';
  readonly type: CompressionType;
  /** The descriptor of the image's file. */
  readonly descriptor: number;
  /** Each payload inflates to exactly this many bytes. */
  readonly clusterSize: number;
  /** Collect the facts of each stream (`StreamFacts`). */
  readonly streamFacts: boolean;
}

/** Numbers of each payload in an ExaminationItem. */
export const PAYLOAD_FIELDS = 3;

export interface ExaminationItem extends TaskItem {
  /**
   * Three numbers for each payload, all in bytes: its guest offset from the item's start, its offset in the file, and
   * its largest possible length.
   */
  readonly payloads: Float64Array;
}

/** Facts of the valid streams of an item. */
export interface StreamFacts {
  /** Bytes of the streams, without the trailing bytes in their last sectors. */
  readonly payloadBytes: number;
  /**
   * Bytes that a reader must keep to inflate each stream. Deflate: the longest distance, rounded up to a power of two;
   * it may come from an earlier item. Zstandard: the largest window in a frame header.
   */
  readonly window: number;
  /** Number of streams with a checksum of their content (zstd). */
  readonly checksums: number;
}

export interface ExaminedPayloads extends TaskAnswer {
  /** Present when the setup asks for them. */
  readonly facts: StreamFacts | undefined;
  /** For each range of `unreadable`, the index of its payload in the item; a range that QEMU reads has `isKept`. */
  readonly broken: readonly number[];
}
