/**
 * Computes the digest of a disk's content: of an image with its backing files, of a snapshot, a device or a stream.
 * Never prints, never exits, installs no signal handler.
 */
import { digestInput } from '../convert/disk-digest.js';
import { openImages } from '../convert/image-input.js';
import type { Input } from '../convert/input.js';
import { openStreamInput } from '../convert/stream-input.js';
import { chainMemory } from '../image/chain-memory.js';
import { BUILT_WORKER } from '../workers/built-worker.js';
import { ITEM_BYTES } from '../workers/plan.js';
import { poolMemory } from '../workers/pool-memory.js';
import { endPromptly } from '../workers/prompt-abort.js';
import { PROCESS_BYTES, planWorkerBudget } from '../workers/worker-budget.js';
import type { ChecksumOptions, ChecksumResult } from './options.js';

/**
 * Computes the digest of a virtual disk. Its algorithm is in `workers/block-digests.ts`.
 * @throws Qcow2cError when the image cannot be opened or read, or changes during the call; ERR_USAGE, ERR_ABORTED
 */
export async function checksum(options: ChecksumOptions): Promise<ChecksumResult> {
  return endPromptly(options.signal, () => digestSource(options));
}

async function digestSource(options: ChecksumOptions): Promise<ChecksumResult> {
  const { source, cache: sourceCache, onProgress, wantsShare, signal } = options;
  const opening = { ...options, sources: [source], sourceCache };
  await using input = (await openStreamInput(opening)) ?? (await openImages(opening));
  const result = await digestInput(input, {
    budget: budgetFor(options, input),
    workerEntry: BUILT_WORKER,
    onProgress,
    wantsShare,
    signal,
  });
  await input.refuseChanges();
  const format = input.images[0]?.layers[0].format ?? 'raw';
  return { digest: result.digest, virtualSize: result.size, format };
}

/** @throws Qcow2cError ERR_USAGE for a memory limit that is too low */
function budgetFor(options: ChecksumOptions, { images, arrives, size }: Input) {
  const { tables, clusters } = chainMemory(images);
  const pool = poolMemory({
    task: 'digest blocks',
    itemSize: ITEM_BYTES,
    arrivals: arrives,
    compressor: undefined,
    inflatesWithNode: false,
    clusters,
  });
  return planWorkerBudget(options, size, { ...pool, fixed: PROCESS_BYTES + tables + pool.fixed });
}
