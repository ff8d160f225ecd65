/**
 * Takes the ranges of two disks that have to be read through the workers, in guest order, up to the first in which
 * the two differ or that cannot be read. Used by the comparison of two images and by the verification of a target.
 */
import type { CompressionType } from '../compression-type.js';
import type { Qcow2cError } from '../errors.js';
import type { Source } from '../image/source.js';
import type { Stretch } from './messages.js';
import { runPipeline } from './pipeline.js';
import { ITEM_BYTES } from './plan.js';
import { type ComparedItem, WorkerPool } from './pool.js';
import type { Progress } from './progress.js';
import { limitBudgetToDisk, type WorkerBudget } from './worker-budget.js';

/** Which of the two disks. */
export type Side = 0 | 1;

/** Stretches to be read, close to each other. In bytes. */
export interface PlannedComparison {
  readonly guestOffset: number;
  /** At most ITEM_BYTES. */
  readonly length: number;
  readonly stretches: readonly Stretch[];
}

/** What decides that two disks are not known to be the same. Offsets in bytes of the virtual disk. */
export type Decision =
  /** The sector of 512 bytes at `offset` is not the same. */
  | { readonly kind: 'different-content'; readonly offset: number }
  /** What the disk `side` holds at `offset` or a little behind cannot be read. */
  | {
      readonly kind: 'unreadable';
      readonly side: Side;
      readonly offset: number;
      readonly error: Qcow2cError;
    };

/** A disk that can be read anywhere. */
export interface ComparableDisk {
  readonly source: Source;
  /** What offset, length and address of a read on any descriptor must be multiples of, in bytes. */
  readonly readAlignment: number;
  readonly compressionTypes: ReadonlySet<CompressionType>;
}

export interface ComparisonSettings {
  /** Of the larger disk. */
  readonly guestBytes: number;
  /** At most; a small disk has fewer. */
  readonly budget: WorkerBudget;
  /** Whether zeros are expected in the place of what the first disk cannot be read of. */
  readonly salvage: boolean;
  /** See ReadingSetup of the workers. */
  readonly inflateWithNode?: boolean;
  readonly workerEntry: URL;
  readonly onProgress: ((progress: Progress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Ends the pipeline: what comes behind does not count any more. */
class Decided extends Error {
  readonly decision: Decision;

  constructor(decision: Decision) {
    super(decision.kind);
    this.decision = decision;
  }
}

/**
 * @param next the next item in guest order; undefined: there is none
 * @returns the first decision in guest order; undefined: all items are the same
 * @throws Qcow2cError ERR_ABORTED, ERR_WORKER; what `next` throws
 */
export async function compareItems(
  [one, other]: readonly [ComparableDisk, ComparableDisk],
  next: () => Promise<PlannedComparison | undefined>,
  { guestBytes, budget: most, salvage, inflateWithNode, workerEntry, onProgress, signal }: ComparisonSettings,
): Promise<Decision | undefined> {
  const { threads, slots } = limitBudgetToDisk(most, guestBytes);
  // Threads take their time to start, and disks that share their bytes need none.
  let pool: WorkerPool | undefined;
  const startPool = () =>
    new WorkerPool(
      workerEntry,
      threads,
      slots,
      {
        output: 'comparison',
        itemSize: ITEM_BYTES,
        inflate: [...new Set([...one.compressionTypes, ...other.compressionTypes])],
        inflateWithNode,
        salvage,
        readAlignment: Math.max(one.readAlignment, other.readAlignment),
      },
      (descriptor) => one.source.fileOf(descriptor) ?? other.source.fileOf(descriptor),
    );
  try {
    await runPipeline<ComparedItem, PlannedComparison>(
      {
        next,
        pack: ({ stretches, guestOffset }, slot) => {
          pool ??= startPool();
          return pool.compare({ stretches, slot }, guestOffset);
        },
        store: async (compared, { guestOffset }) => {
          const decision = decidedBy(compared, guestOffset);
          if (decision !== undefined) throw new Decided(decision);
        },
        storedBytes: () => undefined,
      },
      { slots, guestBytes, onProgress, signal },
    );
    return undefined;
  } catch (error) {
    if (error instanceof Decided) return error.decision;
    throw error;
  } finally {
    await pool?.close();
  }
}

/** @param guestOffset where the item begins, in bytes */
function decidedBy(
  { difference, unreadable: [part], unreadableSide: side }: ComparedItem,
  guestOffset: number,
): Decision | undefined {
  if (difference !== undefined) return { kind: 'different-content', offset: guestOffset + difference };
  if (part === undefined || side === undefined) return undefined;
  return { kind: 'unreadable', side, offset: part.guestOffset, error: part.error };
}
