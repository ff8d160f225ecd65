/**
 * Compares two images: opens both, lets workers read the ranges that their maps do not prove equal, and takes the first
 * difference in guest order. Never prints, never exits, installs no signal handler.
 */
import { type Image, imageReference } from '../image/image-reference.js';
import { type OpenedImage, openImage } from '../image/open-image.js';
import { asksForDirect } from '../storage/cache-mode.js';
import { BUILT_WORKER } from '../workers/built-worker.js';
import { compareItems } from '../workers/compare-items.js';
import { nextOf } from '../workers/pipeline.js';
import { endPromptly } from '../workers/prompt-abort.js';
import { openFileIdentities } from '../workers/range-identity.js';
import { comparisonBudget } from './comparison-budget.js';
import { DiskStatus } from './comparison-status.js';
import type { CompareOptions, CompareResult, Verdict } from './options.js';
import { type Disk, planComparison } from './plan-comparison.js';

/**
 * Compares the virtual disks of two images, as `qemu-img compare` does.
 * @returns the verdict; an unreadable range is one too, and everything before it is equal
 * @throws Qcow2cError when an image cannot be opened or changes during the call; ERR_USAGE, ERR_ABORTED, ERR_WORKER
 */
export async function compare(options: CompareOptions): Promise<CompareResult> {
  return compareWith(options, BUILT_WORKER);
}

/** `compare` with another worker. */
export async function compareWith(options: CompareOptions, workerEntry: URL): Promise<CompareResult> {
  return endPromptly(options.signal, () => compareImages(options, workerEntry));
}

async function compareImages(options: CompareOptions, workerEntry: URL): Promise<CompareResult> {
  const { images, cache, onWarning, nbd } = options;
  const settings = { direct: asksForDirect(cache), isolated: false, detectsChanges: true, onWarning, nbd };
  const open = (image: Image) => openImage(imageReference(image), undefined, settings);
  await using one = await open(images[0]);
  await using other = await open(images[1]);
  return await compareOpened([one, other], options, workerEntry);
}

async function compareOpened(
  images: readonly [OpenedImage, OpenedImage],
  options: CompareOptions,
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
  { strict = false, threads, memory, onProgress, wantsShare, signal }: CompareOptions,
  workerEntry: URL,
): Promise<Verdict> {
  const [one, other] = images;
  const fileOf = (fd: number) => one.source.fileOf(fd) ?? other.source.fileOf(fd) ?? other.source.name;
  const identityOf = openFileIdentities(fileOf);
  const guestBytes = Math.max(one.source.size, other.source.size);
  const budget = comparisonBudget({ threads, memory }, images, guestBytes);
  const diskOf = ({ source, layers }: OpenedImage): Disk => {
    const status = new DiskStatus(layers);
    return { source, statusAt: (offset) => status.at(offset) };
  };
  const planned = () => planComparison([diskOf(one), diskOf(other)], strict, identityOf, signal);
  const items = planned();
  let verdict: Verdict = { kind: 'identical' };
  const next = async () => {
    const { done, value } = await items.next();
    if (!done) return value;
    verdict = value;
    return undefined;
  };
  const decision = await compareItems(images, next, {
    guestBytes,
    ahead: nextOf(planned()),
    budget,
    salvage: false,
    workerEntry,
    // A run that ended early is not complete.
    onProgress: onProgress && ((progress) => verdict.kind === 'identical' && onProgress(progress)),
    wantsShare,
    signal,
  });
  return decision ?? verdict;
}
