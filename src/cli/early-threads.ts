/** Starts worker threads while the modules of a command are loaded: both take about as long. */
import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type Image, imageReference, type StreamReference } from '../image/image-reference.js';
import { isNbdName } from '../nbd/nbd-name.js';
import { groupLimits } from '../system/control-groups.js';
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
export function startThreadsEarly(
  image: Image | StreamReference | undefined,
  { threads, memory }: WorkerBudgetOptions,
): void {
  const limits = groupLimits();
  const isShort = memory !== undefined || limits.memory !== undefined;
  const allowed = threads ?? Math.min(availableParallelism(), limits.processors ?? MOST);
  // A disk of one item may need no thread.
  const items = Math.floor(likelyBytes(image) / ITEM_BYTES);
  startIdleThreads(BUILT_WORKER, Math.min(isShort ? 1 : MOST, allowed, items));
}

/** @returns 0 for what is probably no image, which the command will refuse */
function likelyBytes(image: Image | StreamReference | undefined): number {
  if (image === undefined) return 0;
  if (typeof image === 'object' && 'stream' in image) return Number.POSITIVE_INFINITY;
  const { file } = imageReference(image);
  if (isNbdName(file)) return Number.POSITIVE_INFINITY;
  try {
    const status = statSync(file);
    if (status.isBlockDevice()) return Number.POSITIVE_INFINITY;
    return status.isFile() ? status.size : 0;
  } catch {
    return 0;
  }
}
