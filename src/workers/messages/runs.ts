/** The task of a conversion to a raw disk: read items into their slots and find the runs to write. */
import type { Segment } from '../segments.js';
import type { Task, TaskAnswer, TaskItem, TaskSetup } from './task.js';

export interface FindRuns extends Task {
  readonly setup: RunsSetup;
  readonly item: RunsItem;
  readonly answer: FoundRuns;
}

/** Sizes in bytes. */
export interface RunsSetup extends TaskSetup {
  readonly task: 'find runs';
  /** Write zeros like any other bytes (-S 0). */
  readonly keepZeros: boolean;
  /** The smallest run of zeros that is not written; a multiple of 512. */
  readonly sparseSize: number;
  /** Compute the digests of the item's blocks. Default: false. */
  readonly digests?: boolean | undefined;
}

/** A guest range. */
export interface RunsItem extends TaskItem {
  /** Ascending. */
  readonly segments: readonly Segment[];
  /** Bytes. */
  readonly length: number;
}

/** The item's bytes are in the slot, at their offsets from the item's start. */
export interface FoundRuns extends TaskAnswer {
  /** The runs to write, as pairs of bytes from the item's start, [from, to), ascending; the rest is zeros. */
  readonly runs: Uint32Array;
  /** As in DigestedBlocks, if the setup asks for them. */
  readonly digests?: Uint8Array | undefined;
}
