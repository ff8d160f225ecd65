/** Computes the digest of a disk in the workers: for `checksum`, and for a target that holds more than its source. */
import { DiskDigest } from './block-digests.js';
import type { FileOf } from './item-failure.js';
import { HASH, readingWork } from './item-work.js';
import type { DigestBlocks, DigestSetup } from './messages/digest.js';
import { packIn, runPipeline } from './pipeline.js';
import { ITEM_BYTES, type PlannedItem } from './plan.js';
import { WorkerPool } from './pool.js';
import type { RunOptions } from './run-options.js';
import { workAhead } from './work-ahead.js';
import type { WorkerBudget } from './worker-budget.js';

/** The items of a disk. Holes are left out. */
interface DigestedDisk {
  /** Bytes; undefined: a stream, whose end is the end of the disk. */
  readonly size: number | undefined;
  /** The size for progress, in bytes; undefined: unknown. */
  readonly likelySize: number | undefined;
  /** Whether the bytes of items arrive in the pool's memory, as those of a stream do. */
  readonly arrives: boolean;
  readonly readAlignment: number;
  readonly compressionTypes: ReadonlySet<DigestSetup['inflate'][number]>;
  readonly fileOf: FileOf;
  /**
   * Starts at the first item. A stream can be started only once.
   * @returns a function that gives the next item in guest order for a slot of the pool; undefined at the end
   */
  items(
    pool: Pick<WorkerPool<DigestBlocks>, 'arrivalSlot'>,
  ): (slot: number) => Promise<PlannedItem | undefined>;
}

export interface DigestSettings extends Pick<RunOptions, 'onProgress' | 'wantsShare' | 'signal'> {
  readonly budget: WorkerBudget;
  /** See TaskSetup. */
  readonly inflateWithNode?: boolean | undefined;
  readonly workerEntry: URL;
}

/**
 * @returns the digest in hexadecimal, and the bytes of the disk
 * @throws Qcow2cError for bytes that cannot be read, ERR_ABORTED, ERR_WORKER; errors of the items
 */
export async function digestDisk(
  disk: DigestedDisk,
  settings: DigestSettings,
): Promise<{ readonly digest: string; readonly size: number }> {
  const { budget, inflateWithNode, workerEntry, onProgress, signal } = settings;
  const { threads, slots } = budget;
  const { readAlignment, fileOf, arrives } = disk;
  const inflate = [...disk.compressionTypes];
  const setup = {
    task: 'digest blocks' as const,
    ...{ itemSize: ITEM_BYTES, salvage: false },
    ...{ inflate, inflateWithNode, readAlignment },
  };
  await using pool = new WorkerPool<DigestBlocks>({
    workerEntry,
    threads,
    slots,
    setup,
    fileOf,
    arrivals: arrives,
  });
  const digest = new DiskDigest(signal);
  const work = workAhead<PlannedItem>(settings, {
    items: disk.arrives ? undefined : disk.items(pool),
    weigh: (item) => ({ now: readingWork(item, HASH), later: 0 }),
    size: disk.likelySize,
    threads,
  });
  const end = await runPipeline(
    {
      next: disk.items(pool),
      pack: packIn(pool),
      store: ({ digests }, { guestOffset }) => digest.add(guestOffset, digests),
      storedBytes: () => undefined,
    },
    { slots, guestBytes: disk.likelySize, work, onProgress, signal },
  );
  const size = disk.size ?? end;
  return { digest: await digest.end(size), size };
}
