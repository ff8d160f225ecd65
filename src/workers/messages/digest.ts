/** The task of a digest: read items and compute the digest of each of their blocks. */
import type { Segment } from '../segments.js';
import type { Task, TaskAnswer, TaskItem, TaskSetup } from './task.js';

export interface DigestBlocks extends Task {
  readonly setup: DigestSetup;
  readonly item: DigestItem;
  readonly answer: DigestedBlocks;
}

export interface DigestSetup extends TaskSetup {
  readonly task: 'digest blocks';
}

/** A guest range that begins with a block. */
export interface DigestItem extends TaskItem {
  /** Ascending. */
  readonly segments: readonly Segment[];
  /** Bytes. */
  readonly length: number;
}

export interface DigestedBlocks extends TaskAnswer {
  /** The digests of the item's blocks, one after the other. */
  readonly digests: Uint8Array;
}
