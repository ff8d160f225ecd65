/**
 * Hands items to the workers as slots become free, and stores the results in guest order. The workers may finish in any
 * order; the layout of the target does not depend on it.
 */
import { abortedError } from '../errors.js';
import { onAbort } from '../system/abort-listeners.js';
import type { AnyTask } from './messages/thread.js';
import type { PlannedItem } from './plan.js';
import type { ItemResult, WorkerPool } from './pool.js';
import type { Progress } from './progress.js';
import type { WorkAhead } from './work-ahead.js';

/** The stages of the pipeline, for any task. */
export interface PipelineParts<Answer, Item = PlannedItem> {
  /** @returns the next item in guest order, to be worked on in `slot`; undefined at the end */
  next(slot: number): Promise<Item | undefined>;
  pack(item: Item, slot: number): Promise<Answer>;
  /** Stores the answer. Called in guest order; `stores` calls may be under way. */
  store(answer: Answer, item: Item): Promise<void>;
  /**
   * Takes the rest of an answer whose bytes are stored. Afterwards its slot is free. Called in guest order, one at a
   * time.
   */
  stored?(answer: Answer, item: Item): Promise<void>;
  /** The most answers that are stored at the same time. Default: 1. A target that answers late needs more. */
  readonly stores?: number | undefined;
  /** Bytes in the target so far; undefined: there is no target. */
  storedBytes(): number | undefined;
  /** As in Progress. */
  ratio?(): number | undefined;
}

/** @returns the stage that plans: it takes the items of a plan one after the other */
export function nextOf<Item>(plan: AsyncIterator<Item, unknown, undefined>): () => Promise<Item | undefined> {
  return async () => {
    const { done, value } = await plan.next();
    return done ? undefined : value;
  };
}

/** @returns the stage that works on planned items in a pool */
export function packIn<Task extends AnyTask>(pool: Pick<WorkerPool<Task>, 'run'>) {
  return (
    { guestOffset, ...rest }: Omit<Task['item'], 'slot'> & { readonly guestOffset: number },
    slot: number,
  ): Promise<ItemResult<Task>> => {
    // The compiler does not see that the rest and the slot are an item again.
    const item: unknown = { ...rest, slot };
    return pool.run(item as Task['item'], guestOffset);
  };
}

export interface PipelineSettings<Item extends Pick<PlannedItem, 'guestOffset' | 'length'> = PlannedItem> {
  /** Weighs the items for progress. Default: progress is in guest bytes. */
  readonly work?: WorkAhead<Item> | undefined;
  /** Items in flight at most. */
  readonly slots: number;
  /** Bytes; undefined: the source is a stream. */
  readonly guestBytes: number | undefined;
  readonly onProgress: ((progress: Progress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

interface InFlight<Answer, Item> {
  readonly item: Item;
  readonly slot: number;
  readonly packed: Promise<Answer>;
}

/**
 * Items may still be in flight when it rejects: close the pool before anything that they use.
 * @returns the end of the last item, in bytes; for a stream, the end of the disk
 * @throws the first error of any part, ERR_ABORTED for the signal
 */
export async function runPipeline<
  Answer,
  Item extends Pick<PlannedItem, 'guestOffset' | 'length'> = PlannedItem,
>(
  parts: PipelineParts<Answer, Item>,
  { slots, guestBytes, work, onProgress, signal }: PipelineSettings<Item>,
): Promise<number> {
  const window: InFlight<Answer, Item>[] = [];
  const freeSlots = Array.from({ length: slots }, (_, index) => index);
  /** Answers that are being stored. */
  const storing: (InFlight<Answer, Item> & { readonly stored: Promise<void> })[] = [];
  // One slot is left for the workers.
  const stores = Math.max(1, Math.min(parts.stores ?? 1, slots - 1));
  let dataBytes = 0;
  let end = 0;
  let planned = false;

  let lastShare = 0;
  const report = (guestBytesDone: number) => {
    const ownShare = work?.share;
    if (ownShare !== undefined) lastShare = Math.max(lastShare, ownShare);
    const [storedBytes, ratio] = [parts.storedBytes(), parts.ratio?.()];
    onProgress?.({
      ...(ownShare !== undefined && { share: lastShare }),
      guestBytesDone,
      guestBytes,
      dataBytes,
      storedBytes,
      ...(ratio !== undefined && { ratio }),
    });
  };
  const finishFirst = async () => {
    const first = storing.shift();
    if (first === undefined) return;
    const { item, slot, packed, stored } = first;
    await stored;
    await parts.stored?.(await packed, item);
    freeSlots.push(slot);
    dataBytes += item.length;
    end = item.guestOffset + item.length;
    work?.add(item);
    report(end);
  };
  report(0);
  try {
    for (;;) {
      for (let slot = planned ? undefined : freeSlots.pop(); slot !== undefined; slot = freeSlots.pop()) {
        refuseAbort(signal);
        await work?.advance();
        const item = await parts.next(slot);
        if (item === undefined) {
          planned = true;
          break;
        }
        const packed = parts.pack(item, slot);
        // A failure is thrown in guest order, or never when an earlier item fails.
        packed.catch(() => {});
        window.push({ item, slot, packed });
      }
      const first = window.shift();
      if (first === undefined && storing.length === 0) break;
      if (first !== undefined) {
        const stored = parts.store(await orAborted(first.packed, signal), first.item);
        // A failure is thrown in guest order.
        stored.catch(() => {});
        storing.push({ ...first, stored });
      }
      if (first === undefined || storing.length === stores) await finishFirst();
    }
  } finally {
    // Their bytes are in the slots, which the next pool may get.
    await Promise.allSettled(storing.map(({ stored }) => stored));
  }
  refuseAbort(signal);
  // The end of a stream is no part of a whole that was known.
  if (work?.share !== undefined) work.finish();
  report(guestBytes ?? end);
  work?.finish();
  return end;
}

/** @throws Qcow2cError ERR_ABORTED after the signal */
export function refuseAbort(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError(signal.reason);
}

/** `promise`, unless the signal comes first: a worker in a slow read must not delay the end. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  refuseAbort(signal);
  if (signal === undefined) return promise;
  let stopListening = () => {};
  const aborted = new Promise<void>((resolve) => {
    stopListening = onAbort(signal, resolve);
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    stopListening();
  }
  refuseAbort(signal);
  return promise;
}
