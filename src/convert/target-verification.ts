/**
 * Reads a finished target back and compares it with its source, before it is renamed. The target is read through a
 * new descriptor, past the page cache if possible, by the reader of every image. Images are read again and compared; a
 * stream is compared by the digest taken while it was read. Data that no guest sees (refcounts, bitmaps) is not
 * compared.
 */
import { ioError, Qcow2cError, quoted } from '../errors.js';
import { type OpenedImage, openImage } from '../image/open-image.js';
import type { MappedRange } from '../image/source.js';
import type { NbdOptions } from '../nbd/connection-options.js';
import { isNbdName } from '../nbd/nbd-name.js';
import { openForReading } from '../raw/raw-source.js';
import { closeUnwritten } from '../system/close-unwritten.js';
import { evictFile } from '../system/evict-file.js';
import { type ComparableDisk, compareItems } from '../workers/compare-items.js';
import { HASH, readingWork } from '../workers/item-work.js';
import type { FindRuns } from '../workers/messages/runs.js';
import { nextOf, packIn, runPipeline } from '../workers/pipeline.js';
import { ITEM_BYTES, type PlannedItem, plan } from '../workers/plan.js';
import { type ItemResult, WorkerPool } from '../workers/pool.js';
import { openFileIdentities } from '../workers/range-identity.js';
import type { RunOptions } from '../workers/run-options.js';
import { workAhead } from '../workers/work-ahead.js';
import { limitBudgetToDisk, type WorkerBudget } from '../workers/worker-budget.js';
import type { ChangedClusters } from './changed-clusters.js';
import { ContentDigest } from './content-digest.js';
import type { VerifiedFrom } from './options.js';
import type { WrittenTarget } from './output.js';
import { planVerification } from './plan-verification.js';
import { TargetMismatch } from './target-mismatch.js';

/** The content that the target must have. */
interface Expected {
  /** The source's name, for messages. */
  readonly name: string;
  /** A disk that can be read again, or the digest of one that cannot. */
  readonly content: ComparableDisk | ContentDigest;
  /** The clusters that the target may store, if a bitmap lists them; only these are compared. */
  readonly changed: ChangedClusters | undefined;
  /** @throws Qcow2cError ERR_SOURCE_CHANGED */
  refuseChanges(): Promise<void>;
}

interface VerificationOptions extends Pick<RunOptions, 'onProgress' | 'wantsShare' | 'signal'> {
  /** The target's name, for messages. */
  readonly name: string;
  readonly salvage: boolean;
  readonly nbd: NbdOptions | undefined;
  readonly budget: WorkerBudget;
  readonly inflateWithNode: boolean;
  readonly workerEntry: URL;
}

/**
 * @throws Qcow2cError ERR_CORRUPT for a target with other content, ERR_IO for one that cannot be read,
 *   ERR_SOURCE_CHANGED when a changed source may be the reason; ERR_IO and others for a source that cannot be read
 */
export async function verifyTarget(
  written: WrittenTarget,
  expected: Expected,
  options: VerificationOptions,
): Promise<VerifiedFrom> {
  const mismatch = new TargetMismatch(written, expected.name, options.name);
  const { reference, direct } = written;
  const from = await mismatch.about(0, () => leaveMemory(written));
  await using target = await mismatch.about(0, () =>
    openImage(reference, undefined, { direct, isolated: false, nbd: options.nbd }),
  );
  try {
    refuseOtherShape(written, target, mismatch);
    if (expected.content instanceof ContentDigest) {
      await verifyDigest(written, target, expected.content, options, mismatch);
    } else {
      const { content, changed } = expected;
      await verifyContent(written, target, { ...content, changed }, options, mismatch);
      if (changed !== undefined) await refuseUnchanged(written, target, changed, mismatch);
    }
    return from;
  } catch (error) {
    if (!(error instanceof Qcow2cError && error.code === 'ERR_ABORTED')) await expected.refuseChanges();
    throw error;
  }
}

/** Drops the target from the page cache if the cache cannot be bypassed. */
async function leaveMemory({ reference, direct }: WrittenTarget): Promise<VerifiedFrom> {
  let from: VerifiedFrom = 'device';
  if (isNbdName(reference.file)) return 'server';
  for (const name of [reference.file, ...(reference.dataFile === undefined ? [] : [reference.dataFile])]) {
    const opened = await openForReading(name, direct);
    try {
      if (opened.direct) continue;
      const isEvicted = await evictFile(opened.descriptor).catch((error) => {
        throw ioError(`Could not sync ${quoted(name)}`, error, { file: name });
      });
      if (!isEvicted) from = 'page cache';
      else if (from === 'device') from = 'evicted';
    } finally {
      await closeUnwritten(opened.descriptor);
    }
  }
  return from;
}

/** Compares the size and the file names, which the guest sees too. */
function refuseOtherShape(
  { names, size, diskSize }: WrittenTarget,
  { source, layers: [{ qcow2 }] }: OpenedImage,
  mismatch: TargetMismatch,
): void {
  // An existing file or device may be longer than the disk.
  const isWhole = diskSize === undefined ? source.size >= size : source.size === diskSize;
  if (!isWhole) throw mismatch.of(0, `its disk has ${source.size} bytes instead of ${diskSize ?? size}`);
  if (names === undefined || qcow2 === undefined) return;
  const { backing, extensions } = qcow2;
  const { backingFormat, dataFile } = extensions;
  for (const [what, is, must] of [
    ['backing file', backing, names.backing],
    ["backing file's format", backingFormat, names.backingFormat],
    ['data file', dataFile, names.dataFile],
  ] as const) {
    if (is === must) continue;
    const [found, wanted] = [is, must].map((name) => (name === undefined ? 'nothing' : quoted(name)));
    throw mismatch.of(0, `it names ${found} as its ${what} instead of ${wanted}`);
  }
}

async function verifyContent(
  { size }: WrittenTarget,
  target: OpenedImage,
  source: ComparableDisk & Pick<Expected, 'changed'>,
  { salvage, ...options }: VerificationOptions,
  mismatch: TargetMismatch,
): Promise<void> {
  const identityOf = openFileIdentities((fd) => source.source.fileOf(fd) ?? mismatch.nameOf(fd, target));
  const { signal } = options;
  const planned = (part: ChangedClusters | undefined) => {
    const settings = { size, identityOf, salvage, part, signal };
    return nextOf(planVerification(source.source, readable(target, mismatch), settings));
  };
  const { changed } = source;
  const settings = { ...options, ahead: planned(changed?.forAnotherWalk()), guestBytes: size, salvage };
  const decision = await compareItems([source, target], planned(changed), settings);
  if (decision === undefined) return;
  const { kind, offset } = decision;
  if (kind === 'unreadable')
    throw decision.side === 0 ? decision.error : mismatch.because(offset, decision.error);
  throw mismatch.of(offset, 'the sector differs from the source');
}

/** Refuses clusters that the target stores although the backing file has them. */
async function refuseUnchanged(
  { size }: WrittenTarget,
  { layers: [{ layer }] }: OpenedImage,
  changed: ChangedClusters,
  mismatch: TargetMismatch,
): Promise<void> {
  for (let at = 0; at < size; ) {
    const { length, isInside } = await changed.at(at);
    const end = Math.min(at + length, size);
    while (!isInside && at < end) {
      const range = await mismatch.about(at, () => layer.map(at));
      if (range.kind !== 'unallocated') throw mismatch.of(at, 'it stores a cluster that has not changed');
      at += range.length;
    }
    at = Math.max(at, end);
  }
}

async function verifyDigest(
  { size }: WrittenTarget,
  target: OpenedImage,
  expected: ContentDigest,
  options: VerificationOptions,
  mismatch: TargetMismatch,
): Promise<void> {
  const { budget: most, inflateWithNode, workerEntry, onProgress, signal } = options;
  const digest = new ContentDigest();
  const { map } = readable(target, mismatch);
  const planned = () => nextOf(plan({ size, map }, { itemSize: ITEM_BYTES, keepZeros: false, signal }));
  const weigh = (item: PlannedItem) => ({ now: readingWork(item, HASH), later: 0 });
  const work = workAhead<PlannedItem>(options, { items: planned(), weigh, size, threads: 1 });
  const budget = limitBudgetToDisk(most, size);
  const setup = {
    task: 'find runs' as const,
    ...{ itemSize: ITEM_BYTES, keepZeros: true, salvage: false, sparseSize: 0 },
    inflate: [...target.compressionTypes],
    inflateWithNode,
    readAlignment: target.readAlignment,
  };
  const { threads, slots } = budget;
  const fileOf = (fd: number) => target.source.fileOf(fd);
  await using pool = new WorkerPool<FindRuns>({ workerEntry, threads, slots, setup, fileOf });
  const pack = packIn(pool);
  await runPipeline<ItemResult<FindRuns>>(
    {
      next: planned(),
      pack: (item: PlannedItem, slot) => mismatch.about(item.guestOffset, () => pack(item, slot)),
      store: async ({ bytes }, { guestOffset, length }) => digest.add(guestOffset, bytes.subarray(0, length)),
      storedBytes: () => undefined,
    },
    { slots, guestBytes: size, work, onProgress, signal },
  );
  expected.end(size);
  digest.end(size);
  const range = expected.firstDifference(digest);
  if (range === undefined) return;
  const length = Math.min(range.length, size - range.guestOffset);
  throw mismatch.of(range.guestOffset, `the next ${length} bytes differ from the input`);
}

/** The map of the target, with its failures told of the target. */
function readable({ source }: OpenedImage, mismatch: TargetMismatch) {
  const map = (at: number): Promise<MappedRange> =>
    mismatch.about(at, async () => {
      const range = await source.map(at);
      if (range.kind === 'unreadable') throw range.error;
      return range;
    });
  return { size: source.size, map };
}
