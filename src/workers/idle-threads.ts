/**
 * The worker threads of this process that no pool has at the moment: they wait for the next one. There are never more
 * threads than pools had at the same time, and those that wait do not keep the process going.
 */
import type { Qcow2cError } from '../errors.js';
import { requireDescriptorHeadroom } from './descriptor-headroom.js';
import { threadError } from './thread-error.js';
import { WorkerThread } from './worker-thread.js';

/**
 * Milliseconds that a thread may go on with what nobody waits for any more. It looks for that often; what is still busy
 * then hangs.
 */
const PATIENCE = 2000;

const idle = new Set<WorkerThread>();

/** Threads for a pool. */
export interface AcquiredThreads {
  /** At least one. */
  readonly threads: readonly WorkerThread[];
  /** Why there are fewer threads than the pool asked for. */
  readonly refused: Qcow2cError | undefined;
}

/**
 * @param entry the worker's module
 * @param count of threads, at least 1. There are fewer where the system cannot start more: one is enough for the work.
 * @throws Qcow2cError ERR_IO when there are not enough descriptors for those that must be started (EMFILE), or when
 *   the system cannot start any (EAGAIN)
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
 * Takes a thread back from its pool when it has ended its work and given up what it held for that.
 * @param isKept false: the thread is ended afterwards
 */
export async function releaseThread(thread: WorkerThread, isKept: boolean): Promise<void> {
  const released =
    (await thread.becomesIdle(PATIENCE)) &&
    (await thread.ask({ kind: 'release' }).then(
      () => true,
      () => false,
    ));
  if (released && isKept) idle.add(thread);
  else await thread.end();
}

/** Ends all threads that wait. */
export async function closeWorkers(): Promise<void> {
  const threads = [...idle];
  idle.clear();
  await Promise.all(threads.map((thread) => thread.end()));
}
