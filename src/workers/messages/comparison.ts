/** The task of a comparison: read the same ranges of two disks and find the first difference. */
import type { Segment } from '../segments.js';
import type { Task, TaskAnswer, TaskItem, TaskSetup } from './task.js';

export interface CompareDisks extends Task {
  readonly setup: ComparisonSetup;
  readonly item: ComparisonItem;
  readonly answer: Compared;
}

export interface ComparisonSetup extends TaskSetup {
  readonly task: 'compare disks';
}

/** The same guest ranges of two disks. */
export interface ComparisonItem extends TaskItem {
  /** Ascending. */
  readonly stretches: readonly Stretch[];
}

/** A range that is read and compared as a whole. In bytes. */
export interface Stretch {
  /** From the item's start. */
  readonly at: number;
  readonly length: number;
  /** The segments of each disk, with places from the start of the stretch; the rest is zeros. */
  readonly segments: readonly [readonly Segment[], readonly Segment[]];
}

/** Which of the two disks. */
export type Side = 0 | 1;

/** The first of two events, if any: a difference, or a stretch that cannot be read. */
export interface Compared extends TaskAnswer {
  /**
   * The first sector in which the disks differ, in bytes from the item's start. Stretches are cut into sectors of 512
   * bytes from their own start.
   */
  readonly difference: number | undefined;
  /** The disk whose stretch is in `unreadable`, which holds one stretch or none. */
  readonly unreadableSide: Side | undefined;
}
