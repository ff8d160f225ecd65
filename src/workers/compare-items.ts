/**
 * Compares ranges of two disks in the workers, in guest order, up to the first that differs or cannot be read. For the
 * comparison of two images and for the verification of a target.
 */
import type { CompressionType } from '../compression-type.js';
import type { Qcow2cError } from '../errors.js';
import type { Source } from '../image/source.js';
import { COMPARE, readingWork } from './item-work.js';
import type { CompareDisks, Side, Stretch } from './messages/comparison.js';
import { runPipeline } from './pipeline.js';
import { ITEM_BYTES } from './plan.js';
import { type ItemResult, WorkerPool } from './pool.js';
import type { RunOptions } from './run-options.js';
import { type ItemWork, workAhead } from './work-ahead.js';
import { limitBudgetToDisk, type WorkerBudget } from './worker-budget.js';

/** An item of a comparison: adjacent stretches to read. In bytes. */
export interface PlannedComparison {
  readonly guestOffset: number;
  /** At most ITEM_BYTES. */
  readonly length: number;
  readonly stretches: readonly Stretch[];
}

/** The reason why the comparison ends early. Offsets in bytes of the virtual disk. */
export type Decision =
  /** The sector of 512 bytes at `offset` differs. */
  | { readonly kind: 'different-content'; readonly offset: number }
  /** The disk `side` cannot be read at `offset`, or shortly after it. */
  | {
      readonly kind: 'unreadable';
      readonly side: Side;
      readonly offset: number;
      readonly error: Qcow2cError;
    };

/** A disk that can be read anywhere. */
export interface ComparableDisk {
  readonly source: Source;
  /** Offset, length and address of every read are multiples of this, in bytes. */
  readonly readAlignment: number;
  readonly compressionTypes: ReadonlySet<CompressionType>;
}

interface ComparisonSettings extends Pick<RunOptions, 'onProgress' | 'wantsShare' | 'signal'> {
  /** A second plan of the same items, to weigh them for progress. Default: progress is in guest bytes. */
  readonly ahead?: (() => Promise<PlannedComparison | undefined>) | undefined;
  /** Size of the larger disk. */
  readonly guestBytes: number;
  /** The largest budget; a small disk uses less. */
  readonly budget: WorkerBudget;
  /** Expect zeros where the first disk cannot be read. */
  readonly salvage: boolean;
  /** See TaskSetup. */
  readonly inflateWithNode?: boolean;
  readonly workerEntry: URL;
}

/** Thrown to end the pipeline at the first decision. */
class Decided extends Error {
  readonly decision: Decision;

  constructor(decision: Decision) {
    super(decision.kind);
    this.decision = decision;
  }
}

/**
 * @param next gives the next item in guest order; undefined at the end
 * @returns the first decision in guest order; undefined: all items are equal
 * @throws Qcow2cError ERR_ABORTED, ERR_WORKER; errors of `next`
 */
export async function compareItems(
  [one, other]: readonly [ComparableDisk, ComparableDisk],
  next: () => Promise<PlannedComparison | undefined>,
  settings: ComparisonSettings,
): Promise<Decision | undefined> {
  const { guestBytes, budget: most, salvage, inflateWithNode, workerEntry, onProgress, signal } = settings;
  const { threads, slots } = limitBudgetToDisk(most, guestBytes);
  const planned = { items: settings.ahead, weigh: workOf, size: guestBytes, threads };
  const work = workAhead<PlannedComparison>(settings, planned);
  // Started for the first item, because disks that share all their bytes have none.
  let pool: WorkerPool<CompareDisks> | undefined;
  const startPool = () =>
    new WorkerPool<CompareDisks>({
      workerEntry,
      threads,
      slots,
      setup: {
        task: 'compare disks',
        itemSize: ITEM_BYTES,
        inflate: [...new Set([...one.compressionTypes, ...other.compressionTypes])],
        inflateWithNode,
        salvage,
        readAlignment: Math.max(one.readAlignment, other.readAlignment),
      },
      fileOf: (descriptor) => one.source.fileOf(descriptor) ?? other.source.fileOf(descriptor),
    });
  try {
    await runPipeline<ItemResult<CompareDisks>, PlannedComparison>(
      {
        next,
        pack: ({ stretches, guestOffset }, slot) => {
          pool ??= startPool();
          return pool.run({ stretches, slot }, guestOffset);
        },
        store: async (compared, { guestOffset }) => {
          const decision = decidedBy(compared, guestOffset);
          if (decision !== undefined) throw new Decided(decision);
        },
        storedBytes: () => undefined,
      },
      { slots, guestBytes, work, onProgress, signal },
    );
    return undefined;
  } catch (error) {
    if (error instanceof Decided) return error.decision;
    throw error;
  } finally {
    await pool?.close();
  }
}

function workOf({ stretches }: PlannedComparison): ItemWork {
  let now = 0;
  for (const { segments, length } of stretches) {
    for (const side of segments) now += readingWork({ segments: side, length });
    now += length * COMPARE;
  }
  return { now, later: 0 };
}

/** @param guestOffset start of the item, in bytes @returns undefined if the item does not end the comparison */
function decidedBy(
  { difference, unreadable: [part], unreadableSide: side }: ItemResult<CompareDisks>,
  guestOffset: number,
): Decision | undefined {
  if (difference !== undefined) return { kind: 'different-content', offset: guestOffset + difference };
  if (part === undefined || side === undefined) return undefined;
  return { kind: 'unreadable', side, offset: part.guestOffset, error: part.error };
}
