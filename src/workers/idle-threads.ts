/**
 * The idle worker threads of this process, which wait for the next pool. There are never more threads than all pools
 * used at the same time. Idle threads do not keep the process alive.
 */
import { Qcow2cError } from '../errors.js';
import type { OwnThread } from './own-thread.js';
import { requireDescriptorHeadroom, threadError } from './thread-limits.js';
import { WorkerThread } from './worker-thread.js';

/** Milliseconds for a thread to notice the cancellation. It checks often, so a thread that takes longer hangs. */
const PATIENCE = 2000;

const idle = new Set<WorkerThread>();

/** The threads of a pool. */
interface AcquiredThreads {
  /** At least one. */
  readonly threads: readonly WorkerThread[];
  /** Why there are fewer threads than requested. */
  readonly refused: Qcow2cError | undefined;
}

/**
 * @param entry the worker's module
 * @param count at least 1. There are fewer where the system cannot start more; one is enough for the work.
 * @throws Qcow2cError ERR_IO when there are not enough descriptors to start threads (EMFILE), or when the system cannot
 *   start any (EAGAIN)
 */
export function acquireThreads(entry: URL, count: number): AcquiredThreads {
  for (const thread of idle) if (thread.hasEnded) idle.delete(thread);
  const threads = [...idle].filter((thread) => thread.entry.href === entry.href).slice(0, count);
  requireDescriptorHeadroom(count - threads.length);
  for (const thread of threads) idle.delete(thread);
  while (threads.length < count) {
    try {
      threads.push(new WorkerThread(entry));
    } catch (error) {
      const refused = threadError(error);
      if (threads.length === 0) throw refused;
      return { threads, refused };
    }
  }
  return { threads, refused: undefined };
}

/**
 * Starts threads that wait for the next pool. If the system cannot start them, the pool will say so.
 * @param entry the worker's module
 */
export function startIdleThreads(entry: URL, count: number): void {
  try {
    for (const thread of acquireThreads(entry, count).threads) idle.add(thread);
  } catch (error) {
    if (!(error instanceof Qcow2cError)) throw error;
  }
}

/**
 * Takes a thread back from its pool once it is idle and has freed its engines and memory.
 * @param isKept false: ends the thread afterwards
 */
export async function releaseThread(thread: WorkerThread | OwnThread, isKept: boolean): Promise<void> {
  const released =
    (await thread.becomesIdle(PATIENCE)) &&
    (await thread.ask({ kind: 'release' }).then(
      () => true,
      () => false,
    ));
  if (released && isKept && thread instanceof WorkerThread) idle.add(thread);
  else await thread.end();
}

/** Ends all idle threads. */
export async function closeWorkers(): Promise<void> {
  const threads = [...idle];
  idle.clear();
  await Promise.all(threads.map((thread) => thread.end()));
}
