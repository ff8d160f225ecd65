/**
 * Computes the digest of a disk's content: of an image with its backing files, of a snapshot, a device or a stream.
 * Never prints, never exits, installs no signal handler.
 */
import { openImages } from '../convert/image-input.js';
import type { Input } from '../convert/input.js';
import { openStreamInput } from '../convert/stream-input.js';
import { chainMemory } from '../image/chain-memory.js';
import { BUILT_WORKER } from '../workers/built-worker.js';
import { digestDisk } from '../workers/digest-disk.js';
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
  const { source, cache: sourceCache, onProgress, signal } = options;
  const opening = { ...options, sources: [source], sourceCache };
  await using input = (await openStreamInput(opening)) ?? (await openImages(opening));
  const { size, likelySize, arrives, readAlignment, compressionTypes, fileOf, images } = input;
  const planning = {
    ...{ itemSize: ITEM_BYTES, clusterSize: 1, keepZeros: false },
    ...{ backing: undefined, room: undefined, signal },
  };
  const result = await digestDisk(
    {
      ...{ size, likelySize, arrives, readAlignment, compressionTypes, fileOf },
      items: (pool) => input.items(planning, pool),
    },
    { budget: budgetFor(options, input), workerEntry: BUILT_WORKER, onProgress, signal },
  );
  await input.refuseChanges();
  return { digest: result.digest, virtualSize: result.size, format: images[0]?.layers[0].format ?? 'raw' };
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
