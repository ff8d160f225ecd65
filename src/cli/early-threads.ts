/** Starts worker threads while the modules of a command are loaded: both take about as long. */
import { stat } from 'node:fs/promises';
import { type Image, imageReference, type StreamReference } from '../image/image-reference.js';
import { isNbdName } from '../nbd/nbd-name.js';
import { availableProcessors, groupLimits } from '../system/control-groups.js';
import { processLimit } from '../system/process-limits.js';
import { BUILT_WORKER } from '../workers/built-worker.js';
import { startIdleThreads } from '../workers/idle-threads.js';
import { ITEM_BYTES } from '../workers/plan.js';
import type { WorkerBudgetOptions } from '../workers/worker-budget.js';

/** Each start delays the main thread a little. The worker budget may allow more. */
const MOST = 2;

/**
 * Starts at most as many threads as the worker budget of the command will allow.
 * @param image the image that the command will read first
 */
export async function startThreadsEarly(
  image: Image | StreamReference | undefined,
  { threads, memory }: WorkerBudgetOptions,
): Promise<void> {
  // Node.js aborts where its own threads cannot be started, or memory for another heap be reserved. The first call
  // starts its threads, before others could take their place; later more is known, and the command can say why it fails.
  const bytes = await likelyBytes(image);
  if (processLimit('Max address space') !== undefined) return;
  const limits = groupLimits();
  const isShort = memory !== undefined || limits.memory !== undefined;
  const allowed = threads ?? availableProcessors(limits);
  // A disk of one item may need no thread.
  const items = Math.floor(bytes / ITEM_BYTES);
  startIdleThreads(BUILT_WORKER, Math.min(isShort ? 1 : MOST, allowed, items));
}

/** @returns 0 for what is probably no image, which the command will refuse */
async function likelyBytes(image: Image | StreamReference | undefined): Promise<number> {
  const isStream = typeof image === 'object' && 'stream' in image;
  const file = image === undefined || isStream ? '' : imageReference(image).file;
  const status = await stat(file).catch(() => undefined);
  if (isStream || isNbdName(file) || status?.isBlockDevice()) return Number.POSITIVE_INFINITY;
  return status?.isFile() ? status.size : 0;
}
