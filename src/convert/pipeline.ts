/**
 * Source to image: hands work items to the pool as far as slots allow, and takes the results in guest
 * order, whatever order the workers finish in. That order is the only thing the layout depends on.
 */
import type { PackedItem, WorkerPool } from '../compress/pool.js';
import { Qcow2cError } from '../errors.js';
import type { Source } from '../image/source.js';
import { guestCluster } from '../qcow2/addresses.js';
import type { ImageWriter } from '../qcow2/image-writer.js';
import { type PlannedItem, plan } from './plan.js';
import type { Progress } from './progress.js';

export interface PipelineParts {
  readonly source: Source;
  readonly pool: WorkerPool;
  readonly writer: ImageWriter;
}

export interface PipelineSettings {
  /** Bytes. */
  readonly clusterSize: number;
  readonly itemSize: number;
  /** Items in flight at most. */
  readonly slots: number;
  readonly keepZeros: boolean;
  readonly onProgress: ((progress: Progress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

interface InFlight {
  readonly item: PlannedItem;
  readonly slot: number;
  readonly packed: Promise<PackedItem>;
}

/**
 * Runs the source through the pool into the writer. When it rejects, items may still be in flight: close
 * the pool before anything they use.
 * @throws the first error of any part, ERR_ABORTED for the signal
 */
export async function runPipeline(parts: PipelineParts, settings: PipelineSettings): Promise<void> {
  const { source, pool, writer } = parts;
  const { clusterSize, slots, onProgress, signal } = settings;
  const items = plan(source, settings.itemSize, settings.keepZeros);
  const window: InFlight[] = [];
  const freeSlots = Array.from({ length: slots }, (_, index) => index);
  let dataBytes = 0;
  let planned = false;

  const report = (guestBytesDone: number) => {
    const { compressedBytes, normalClusters } = writer.counts;
    const storedBytes = compressedBytes + normalClusters * clusterSize;
    onProgress?.({ guestBytesDone, guestBytes: source.size, dataBytes, storedBytes });
  };
  report(0);
  for (;;) {
    for (let slot = planned ? undefined : freeSlots.pop(); slot !== undefined; slot = freeSlots.pop()) {
      const { value: item, done } = await items.next();
      if (done) {
        planned = true;
        break;
      }
      const clusters = Math.ceil(item.length / clusterSize);
      const packed = pool.pack({ segments: item.segments, clusters, slot }, item.guestOffset);
      // A failure is looked at when its turn comes, or never when another came first.
      packed.catch(() => {});
      window.push({ item, slot, packed });
    }
    const first = window.shift();
    if (first === undefined) break;
    const packed = await orAborted(first.packed, signal);
    await store(writer, packed, first.item.guestOffset / clusterSize, clusterSize);
    freeSlots.push(first.slot);
    dataBytes += first.item.length;
    report(first.item.guestOffset + first.item.length);
  }
  refuseAbort(signal);
  report(source.size);
}

/** Hands an item's clusters to the writer. */
async function store(
  writer: ImageWriter,
  { sizes, bytes }: PackedItem,
  firstCluster: number,
  clusterSize: number,
): Promise<void> {
  let at = 0;
  for (const [index, size] of sizes.entries()) {
    if (size === 0) continue;
    const cluster = guestCluster(firstCluster + index);
    const payload = bytes.subarray(at, at + size);
    await (size < clusterSize
      ? writer.writeCompressed(cluster, payload)
      : writer.writeNormal(cluster, payload));
    at += size;
  }
}

/** @throws Qcow2cError ERR_ABORTED when the signal has come */
export function refuseAbort(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new Qcow2cError('ERR_ABORTED', 'The conversion was ended before it was complete', {
      cause: signal.reason,
    });
  }
}

/** `promise`, unless the signal comes first: a worker stuck in a slow read must not hold up the end. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  refuseAbort(signal);
  if (signal === undefined) return promise;
  let onAbort = () => {};
  const aborted = new Promise<void>((resolve) => {
    onAbort = resolve;
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  refuseAbort(signal);
  return promise;
}
