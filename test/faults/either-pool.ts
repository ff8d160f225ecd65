/** The worker pool of the conversions that are swept: threads, or what does their work on this thread. */
import { WorkerPool as Threads } from '../../src/workers/pool.js';
import { WorkerPool as InThread } from '../fuzz/in-thread-pool.js';

/** Which it is from now on. */
export const budget = { threads: false };

type Arguments = ConstructorParameters<typeof Threads>;

/** Stands in for the class: what it constructs is an object of one of the two. */
export const WorkerPool = function create(...args: Arguments) {
  if (budget.threads) return new Threads(...args);
  return new InThread(...(args as unknown as ConstructorParameters<typeof InThread>));
};
