/** The worker pool of the swept conversions: threads, or a pool that does their work on this thread. */
import type { AnyTask } from '../../src/workers/messages/thread.js';
import { type PoolOptions, WorkerPool as Threads } from '../../src/workers/pool.js';
import { WorkerPool as InThread } from '../fuzz/in-thread-pool.js';

/** Whether conversions use threads from now on. */
export const budget = { threads: false };

/** Replaces the class: it constructs an object of one of the two. */
export const WorkerPool = function create<Task extends AnyTask>(options: PoolOptions<Task>) {
  return budget.threads ? new Threads(options) : new InThread(options);
};
