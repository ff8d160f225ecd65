/** Runs of qcow2c that record their memory and number of threads. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Outcome } from '../oracle/run.js';
import { type CliOptions, cli } from './cli.js';

interface Observed {
  readonly outcome: Outcome;
  /** Largest resident size of the process, in KiB: what getrusage has for it is its parent's, too. */
  readonly peak: number;
  /** How many workers there were in all, and at most at a time. */
  readonly workers: number;
  readonly mostWorkers: number;
  /** All threads of the process that there were at most, each time that a worker had just started. */
  readonly mostThreads: number;
}

/** In the process itself, before qcow2c is loaded: Node.js reports every worker that it starts. */
const OBSERVER = `
  import { isMainThread } from 'node:worker_threads';
  import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
  if (isMainThread) {
    let [workers, live, mostWorkers, mostThreads] = [0, 0, 0, 0];
    const count = () => { mostThreads = Math.max(mostThreads, readdirSync('/proc/self/task').length); };
    process.on('worker', (worker) => {
      workers += 1;
      live += 1;
      mostWorkers = Math.max(mostWorkers, live);
      worker.on('online', count);
      worker.on('exit', () => { live -= 1; });
    });
    process.on('exit', () => {
      count();
      const peak = Number(/VmHWM:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))[1]);
      writeFileSync(FILE, JSON.stringify({ peak, workers, mostWorkers, mostThreads }));
    });
  }
`;

/** @param file the run writes its record there */
export async function observed(
  file: string,
  args: readonly string[],
  options: CliOptions = {},
): Promise<Observed> {
  const source = OBSERVER.replace('FILE', JSON.stringify(file));
  const observer = `data:text/javascript,${encodeURIComponent(source)}`;
  writeFileSync(file, '');
  const outcome = await cli(args, { ...options, nodeOptions: ['--import', observer] });
  const seen = readFileSync(file, 'utf8');
  if (seen === '')
    throw new Error(`qcow2c ${args.join(' ')} left nothing behind: ${JSON.stringify(outcome)}`);
  return { outcome, ...JSON.parse(seen) };
}
