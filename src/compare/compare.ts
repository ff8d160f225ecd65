/**
 * The comparison of two images: opens both, has the workers read what their maps do not show to be the same, and
 * takes the first difference in guest order. Never prints, never exits, installs no signal handler.
 */
import { fstatSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type ComparedItem, WorkerPool } from '../compress/pool.js';
import { usageError } from '../errors.js';
import type { ImageReference } from '../image/image-reference.js';
import { type OpenedImage, openImage } from '../open/open-image.js';
import { refuseAbort, runPipeline } from '../pipeline/pipeline.js';
import { ITEM_BYTES } from '../pipeline/plan.js';
import { identityOf } from '../raw/raw-source.js';
import { DiskStatus } from './block-status.js';
import type { CompareOptions, CompareResult, Verdict } from './options.js';
import { type Disk, type PlannedComparison, planComparison } from './plan-comparison.js';

/** Items in flight for each worker: one being compared and one waiting, so that no worker is ever idle. */
const ITEMS_PER_WORKER = 2;
/** Items in flight besides: finished ones that wait for their turn. */
const SPARE_ITEMS = 2;

/** The build puts every file of the library beside the worker's entry. */
const BUILT_WORKER = new URL('./worker.js', import.meta.url);

/** Ends the pipeline: what comes behind does not count any more. */
class Decided extends Error {
  readonly verdict: Verdict;

  constructor(verdict: Verdict) {
    super(verdict.kind);
    this.verdict = verdict;
  }
}

/**
 * Compares what a guest would see in two images, as `qemu-img compare` does.
 * @returns the verdict, also when something cannot be read: then nothing before that is different
 * @throws Qcow2cError when an image cannot be opened, or is written to meanwhile; ERR_USAGE, ERR_ABORTED, ERR_WORKER
 */
export async function compare(options: CompareOptions): Promise<CompareResult> {
  return compareWith(options, BUILT_WORKER);
}

/** `compare` with another worker. */
export async function compareWith(options: CompareOptions, workerEntry: URL): Promise<CompareResult> {
  const { images, cache, threads = availableParallelism(), signal } = options;
  if (!Number.isInteger(threads) || threads < 1) {
    throw usageError(`The number of threads must be at least 1, not ${threads}`, { found: threads });
  }
  refuseAbort(signal);
  const settings = { direct: cache === 'none' || cache === 'directsync', isolated: false };
  const open = (image: string | ImageReference) =>
    openImage(typeof image === 'string' ? { file: image } : image, undefined, settings);
  const one = await open(images[0]);
  try {
    const other = await open(images[1]);
    try {
      return await compareOpened([one, other], { ...options, threads }, workerEntry);
    } finally {
      await other.source.close();
    }
  } finally {
    await one.source.close();
  }
}

async function compareOpened(
  images: readonly [OpenedImage, OpenedImage],
  options: CompareOptions & { readonly threads: number },
  workerEntry: URL,
): Promise<CompareResult> {
  const { strict = false } = options;
  const sizes = [images[0].source.size, images[1].source.size] as const;
  if (strict && sizes[0] !== sizes[1]) return { verdict: { kind: 'different-size' }, sizes };
  const verdict = await verdictOn(images, options, workerEntry);
  if (verdict.kind === 'identical') for (const { source } of images) await source.refuseChanges();
  return { verdict, sizes };
}

async function verdictOn(
  images: readonly [OpenedImage, OpenedImage],
  { strict = false, threads, onProgress, signal }: CompareOptions & { readonly threads: number },
  workerEntry: URL,
): Promise<Verdict> {
  const [one, other] = images;
  const identities = new Identities();
  const diskOf = ({ source, layers }: OpenedImage): Disk => {
    const status = new DiskStatus(layers);
    return {
      source,
      statusAt: (offset) => status.at(offset),
      identityOf: (descriptor) => identities.of(descriptor),
    };
  };
  const items = planComparison([diskOf(one), diskOf(other)], strict, signal);
  const guestBytes = Math.max(one.source.size, other.source.size);
  const workers = Math.min(threads, Math.max(1, Math.ceil(guestBytes / ITEM_BYTES)));
  const slots = workers * ITEMS_PER_WORKER + SPARE_ITEMS;
  // Threads take their time to start, and images that share their bytes need none.
  let pool: WorkerPool | undefined;
  const startPool = () =>
    new WorkerPool(
      workerEntry,
      workers,
      slots,
      {
        output: 'comparison',
        itemSize: ITEM_BYTES,
        inflate: [...new Set(images.flatMap(({ compressionTypes }) => [...compressionTypes]))],
        salvage: false,
        readAlignment: Math.max(one.readAlignment, other.readAlignment),
      },
      (descriptor) => one.source.fileOf(descriptor) ?? other.source.fileOf(descriptor),
    );
  let verdict: Verdict = { kind: 'identical' };
  try {
    await runPipeline<ComparedItem, PlannedComparison>(
      {
        next: async () => {
          const { done, value } = await items.next();
          if (!done) return value;
          verdict = value;
          return undefined;
        },
        pack: ({ stretches, guestOffset }, slot) => {
          pool ??= startPool();
          return pool.compare({ stretches, slot }, guestOffset);
        },
        store: async (compared, { guestOffset }) => {
          const decided = decidedBy(compared, guestOffset);
          if (decided !== undefined) throw new Decided(decided);
        },
        storedBytes: () => undefined,
      },
      {
        slots,
        guestBytes,
        // A run that has ended early is not complete.
        onProgress: (progress) => verdict.kind === 'identical' && onProgress?.(progress),
        signal,
      },
    );
    return verdict;
  } catch (error) {
    if (error instanceof Decided) return error.verdict;
    throw error;
  } finally {
    await pool?.close();
  }
}

/** @param guestOffset where the item begins, in bytes */
function decidedBy(
  { difference, unreadable: [part], unreadableSide: side }: ComparedItem,
  guestOffset: number,
): Verdict | undefined {
  if (difference !== undefined) return { kind: 'different-content', offset: guestOffset + difference };
  if (part === undefined || side === undefined) return undefined;
  return { kind: 'unreadable', side, offset: part.guestOffset, error: part.error };
}

/** Which open descriptors are of the same file. */
class Identities {
  readonly #known = new Map<number, string>();

  of(descriptor: number): string {
    let identity = this.#known.get(descriptor);
    if (identity === undefined) {
      identity = identityOf(fstatSync(descriptor, { bigint: true }));
      this.#known.set(descriptor, identity);
    }
    return identity;
  }
}
