/**
 * The worker threads of this process that no pool has at the moment: they wait for the next one. There are never more
 * threads than pools had at the same time, and those that wait do not keep the process going.
 */
import { demandDescriptors } from './descriptor-room.js';
import { WorkerThread } from './worker-thread.js';

/**
 * Milliseconds that a thread may go on with what nobody waits for any more. It looks for that often; what is still busy
 * then hangs.
 */
const PATIENCE = 2000;

const idle = new Set<WorkerThread>();

/**
 * @param entry the worker's module
 * @throws Qcow2cError ERR_IO when there are not enough descriptors for those that must be started
 */
export function hireThreads(entry: URL, count: number): WorkerThread[] {
  for (const thread of idle) if (thread.hasEnded) idle.delete(thread);
  const hired = [...idle].filter((thread) => thread.entry.href === entry.href).slice(0, count);
  demandDescriptors(count - hired.length);
  for (const thread of hired) idle.delete(thread);
  while (hired.length < count) hired.push(new WorkerThread(entry));
  return hired;
}

/**
 * Takes a thread back from its pool when it has ended its work and given up what it held for that.
 * @param isKept false: the thread is ended afterwards
 */
export async function dismissThread(thread: WorkerThread, isKept: boolean): Promise<void> {
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
export async function endIdleThreads(): Promise<void> {
  const threads = [...idle];
  idle.clear();
  await Promise.all(threads.map((thread) => thread.end()));
}
