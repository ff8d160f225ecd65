/**
 * A kind of task for worker threads: its setup, its items and its answers. Plain data and shared memory only, because
 * all of it passes between threads.
 */
import type { CompressionType } from '../../compression-type.js';
import type { OpenExport } from '../../nbd/open-exports.js';
import type { UnreadableItemRange } from '../item-failure.js';

export type TaskName =
  | 'compress clusters'
  | 'find runs'
  | 'compare disks'
  | 'digest blocks'
  | 'examine payloads';

export interface Task {
  readonly setup: TaskSetup;
  readonly item: TaskItem;
  readonly answer: TaskAnswer;
}

/** Sent to each thread of a pool before its first item. Sizes in bytes. */
export interface TaskSetup {
  readonly task: TaskName;
  /** Of the largest item. */
  readonly itemSize: number;
  /** The compression types of the payloads to inflate. */
  readonly inflate: readonly CompressionType[];
  /** Inflate with Node.js where it can, without loading a library of the system. Default: false. */
  readonly inflateWithNode?: boolean | undefined;
  /** Replace bytes that cannot be read or inflated by zeros, instead of failing. In a comparison: of the first disk. */
  readonly salvage: boolean;
  /** Offset, length and address of every read are multiples of this. */
  readonly readAlignment: number;
  /** The NBD exports whose numbers stand for descriptors. The pool adds them. */
  readonly exports?: readonly OpenExport[] | undefined;
}

export interface TaskItem {
  /** Index of the item's slot. No other item in flight has it. */
  readonly slot: number;
}

export interface TaskAnswer {
  /** Ascending. Without salvage: only malformed payloads that QEMU reads, and that were therefore read. */
  readonly unreadable: readonly UnreadableItemRange[];
}

/** The memory that a pool shares with its threads. */
export interface PoolSharedMemory {
  /** A slot of `itemSize` bytes for each item in flight; empty for a task without results in memory. */
  readonly results: SharedArrayBuffer;
  /** Slots of the same size in which the items of a stream arrive; empty for other sources. */
  readonly arrivals: SharedArrayBuffer;
  /** One number, which is not 0 once the pool is closed; see `throwIfCancelled`. */
  readonly cancellation: Int32Array;
}

/** Whether the answers of a task describe bytes in `results`. */
export function storesResults(task: TaskName): boolean {
  return task === 'compress clusters' || task === 'find runs';
}
