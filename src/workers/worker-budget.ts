/** The worker budget: how many threads work on a disk and how many items are in flight, within the memory. */
import { usageError } from '../errors.js';
import { LARGEST_PIECE } from '../system/aligned-memory.js';
import { availableProcessors, type GroupLimits, groupLimits } from '../system/control-groups.js';
import { ITEM_BYTES } from './plan.js';

/** Items in flight for each thread: one that it works on and one that waits, so that no thread is idle. */
const ITEMS_PER_WORKER = 2;
/** Further items in flight: finished ones that wait for earlier items. */
const SPARE_ITEMS = 2;
/** The fewest items in flight besides those that threads work on: one that is being stored. */
const LEAST_SPARE_ITEMS = 1;
/** The share of a control group's limit to plan with; the rest is for its other processes and the page cache. */
const SHARE_OF_GROUP = 3 / 4;
const MIB = 2 ** 20;

/** Bytes of Node.js with the program before the first thread starts, and of the growth of its heap. */
export const PROCESS_BYTES = 88 * MIB;

/** The most threads whose items fit into one piece of memory. */
export const MOST_THREADS = Math.floor((LARGEST_PIECE / ITEM_BYTES - SPARE_ITEMS) / ITEMS_PER_WORKER);

/** The caller's limits. */
export interface WorkerBudgetOptions {
  /** Maximum number of worker threads; default: the number of processors available to this process. */
  readonly threads?: number | undefined;
  /**
   * The memory limit of a process that runs only this call, in bytes; it must be enough for one thread. Default: three
   * quarters of the limit of its control group.
   */
  readonly memory?: number | undefined;
}

/** The memory of a run. In bytes, measured and rounded up. */
export interface MemoryNeed {
  /** Independent of the budget: the process itself and its tables. */
  readonly fixed: number;
  readonly perThread: number;
  /** For each item in flight. */
  readonly perSlot: number;
  /** For a cache that also works with less than the wanted size. */
  readonly cache?: { readonly wanted: number; readonly least: number } | undefined;
}

export interface WorkerBudget {
  readonly threads: number;
  /** The most items in flight. */
  readonly slots: number;
  /** Bytes of the cache. */
  readonly cache: number;
}

/**
 * Chooses the budget of a run. The output is the same for any budget. If memory is short, slots are reduced first, then
 * threads, then the cache. A control group's limit never reduces the budget below one thread.
 * @param options the caller's limits
 * @param guestBytes of the disk, which may have work for fewer threads; undefined: unknown
 * @param need the memory of the run
 * @param groups the limits of control groups; tests replace them
 * @throws Qcow2cError ERR_USAGE when the caller's memory limit is too low for one thread
 */
export function planWorkerBudget(
  options: WorkerBudgetOptions,
  guestBytes: number | undefined,
  need: MemoryNeed,
  groups: GroupLimits = groupLimits(),
): WorkerBudget {
  refuseThreads(options.threads);
  const threads = options.threads ?? availableProcessors(groups);
  const wanted = limitBudgetToDisk(fullBudget(threads, need), guestBytes);
  const least = { threads: 1, slots: 1 + LEAST_SPARE_ITEMS, cache: need.cache?.least ?? 0 };
  const leastBytes = bytesOf(least, need);
  if (options.memory !== undefined && !(options.memory >= leastBytes)) {
    throw usageError(
      `A memory limit of ${limitText(options.memory)} is too low: this run takes at least ` +
        `${Math.ceil(leastBytes / MIB)} MiB`,
      { expected: leastBytes, found: options.memory },
    );
  }
  const room = options.memory ?? Math.floor((groups.memory ?? Number.POSITIVE_INFINITY) * SHARE_OF_GROUP);
  if (bytesOf(wanted, need) <= room) return wanted;
  for (let { threads } = wanted; threads >= 1; threads -= 1) {
    const fewest = { threads, slots: threads + LEAST_SPARE_ITEMS, cache: wanted.cache };
    const left = room - bytesOf(fewest, need);
    if (left < 0) continue;
    const more = Math.floor(left / Math.max(1, need.perSlot));
    return { ...fewest, slots: Math.min(fewest.slots + more, mostSlots(threads)) };
  }
  return { ...least, cache: Math.max(least.cache, Math.min(wanted.cache, room - leastBytes + least.cache)) };
}

function refuseThreads(threads: number | undefined): void {
  if (threads === undefined || (Number.isInteger(threads) && threads >= 1 && threads <= MOST_THREADS)) return;
  throw usageError(`The number of threads must be 1 to ${MOST_THREADS}, not ${threads}`, { found: threads });
}

/** In MiB, the unit of the option, or in bytes for a limit below 1 MiB, which was probably meant in MiB. */
function limitText(bytes: number): string {
  return bytes < MIB ? `${bytes} bytes` : `${Number((bytes / MIB).toFixed(2))} MiB`;
}

/** @param guestBytes of the disk; undefined: unknown @returns the budget, limited to the items of the disk */
export function limitBudgetToDisk(budget: WorkerBudget, guestBytes: number | undefined): WorkerBudget {
  const items = Math.max(1, Math.ceil((guestBytes ?? Number.MAX_SAFE_INTEGER) / ITEM_BYTES));
  if (budget.threads <= items) return budget;
  return { ...budget, threads: items, slots: Math.min(budget.slots, mostSlots(items)) };
}

/** @returns the most bytes that a run with this budget takes */
export function bytesOf(
  { threads, slots, cache }: WorkerBudget,
  { fixed, perThread, perSlot }: MemoryNeed,
): number {
  return fixed + threads * perThread + slots * perSlot + cache;
}

function fullBudget(threads: number, { cache }: MemoryNeed): WorkerBudget {
  return { threads, slots: mostSlots(threads), cache: cache?.wanted ?? 0 };
}

function mostSlots(threads: number): number {
  return threads * ITEMS_PER_WORKER + SPARE_ITEMS;
}
