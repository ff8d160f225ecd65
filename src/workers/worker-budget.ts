/** How many threads work on a disk, and how many work items are in flight for them; no more than memory allows. */
import { availableParallelism } from 'node:os';
import { usageError } from '../errors.js';
import { LARGEST_PIECE } from '../system/aligned-memory.js';
import { type GroupLimits, groupLimits } from '../system/control-groups.js';
import { ITEM_BYTES } from './plan.js';

/** Items in flight for each worker: one being worked on and one waiting, so that no worker is ever idle. */
const ITEMS_PER_WORKER = 2;
/** Items in flight besides: finished ones that wait for their turn. */
const SPARE_ITEMS = 2;
/** The fewest besides those being worked on: one that is being stored meanwhile. */
const LEAST_SPARE_ITEMS = 1;
/** Of a control group's limit, what a process plans with: the rest is for others in it and for the page cache. */
const SHARE_OF_GROUP = 3 / 4;
const MIB = 2 ** 20;

/** Node.js with the program in it before the first thread is started, and what its heap grows to: in bytes. */
export const PROCESS_BYTES = 88 * 2 ** 20;

/** As many threads as have room for their items in one piece of memory. */
export const MOST_THREADS = Math.floor((LARGEST_PIECE / ITEM_BYTES - SPARE_ITEMS) / ITEMS_PER_WORKER);

/** What the caller of a command may ask for. */
export interface WorkerBudgetOptions {
  /** At least 1; undefined: one for each processor that this process may use. */
  readonly threads?: number | undefined;
  /** Most bytes of the whole process; undefined: what its control group leaves. */
  readonly memory?: number | undefined;
}

/** What a run takes of memory. In bytes, measured and rounded up. */
export interface MemoryNeed {
  /** Whatever the budget: the process itself, its tables. */
  readonly fixed: number;
  readonly perThread: number;
  /** Of an item in flight. */
  readonly perSlot: number;
  /** Of a cache that works with less than it is wanted to have, too. */
  readonly cache?: { readonly wanted: number; readonly least: number } | undefined;
}

export interface WorkerBudget {
  readonly threads: number;
  /** Items in flight at most. */
  readonly slots: number;
  /** Bytes of the cache. */
  readonly cache: number;
}

/**
 * Whatever the budget, the output is the same. Where memory is short, there are fewer slots first, then fewer threads,
 * then a smaller cache.
 * @param guestBytes of the disk, which may have work for fewer; undefined: nobody knows
 * @param groups tests have others
 * @throws Qcow2cError ERR_USAGE when the caller's limit is below what one thread needs; a control group's limit that
 *   is gets that one thread
 */
export function planWorkerBudget(
  wishes: WorkerBudgetOptions,
  guestBytes: number | undefined,
  need: MemoryNeed,
  groups: GroupLimits = groupLimits(),
): WorkerBudget {
  refuseThreads(wishes.threads);
  const processors = Math.min(availableParallelism(), groups.processors ?? Number.POSITIVE_INFINITY);
  const wanted = limitBudgetToDisk(fullBudget(wishes.threads ?? processors, need), guestBytes);
  const least = { threads: 1, slots: 1 + LEAST_SPARE_ITEMS, cache: need.cache?.least ?? 0 };
  const leastBytes = bytesOf(least, need);
  if (wishes.memory !== undefined && !(wishes.memory >= leastBytes)) {
    throw usageError(
      `A memory limit of ${limitText(wishes.memory)} is too low: this run takes at least ` +
        `${Math.ceil(leastBytes / MIB)} MiB`,
      { expected: leastBytes, found: wishes.memory },
    );
  }
  const room = wishes.memory ?? Math.floor((groups.memory ?? Number.POSITIVE_INFINITY) * SHARE_OF_GROUP);
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

/** In the unit in which a limit is stated: what is below a MiB was mostly meant as one. */
function limitText(bytes: number): string {
  return bytes < MIB ? `${bytes} bytes` : `${Number((bytes / MIB).toFixed(2))} MiB`;
}

/** A budget for a disk that may have work for fewer. @param guestBytes undefined: nobody knows */
export function limitBudgetToDisk(budget: WorkerBudget, guestBytes: number | undefined): WorkerBudget {
  const items = Math.max(1, Math.ceil((guestBytes ?? Number.MAX_SAFE_INTEGER) / ITEM_BYTES));
  if (budget.threads <= items) return budget;
  return { ...budget, threads: items, slots: Math.min(budget.slots, mostSlots(items)) };
}

/** @returns bytes that a run with this budget takes at most */
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
