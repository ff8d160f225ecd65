/** The system's limits on worker threads: their number, and the descriptors that they need. */
import { closeSync, openSync } from 'node:fs';
import { ioError, type Qcow2cError } from '../errors.js';
import { reachedThreadLimit } from '../system/control-groups.js';
import { processLimit } from '../system/process-limits.js';

/** A thread's event loop opens five descriptors at most, and loading modules up to seven at once. */
const DESCRIPTORS_PER_THREAD = 12;

/** A directory that always exists, even if /dev is empty. */
const ROOT = '/';

/** pthread_create(3) fails with EAGAIN for every limit. */
const EAGAIN = -11;

/**
 * Checks that the process can open the descriptors that new threads need. If a thread cannot open them, its error lacks
 * the reason, and Node.js leaks those that it had opened.
 * @throws Qcow2cError ERR_IO (EMFILE, ENFILE) when the process or the system allows fewer
 */
export function requireDescriptorHeadroom(threads: number): void {
  const wanted = DESCRIPTORS_PER_THREAD * threads;
  const opened: number[] = [];
  try {
    while (opened.length < wanted) opened.push(openSync(ROOT, 'r'));
  } catch (error) {
    const what = `Could not start worker threads, which need ${wanted} file descriptors for a moment`;
    throw ioError(what, error, { expected: wanted, found: opened.length });
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}

/**
 * @param cause thrown by the constructor of Worker: ERR_WORKER_INIT_FAILED, without the system's reason
 * @returns the error for a thread that the system cannot start; it names the limit that is the likely reason
 */
export function threadError(cause: unknown): Qcow2cError {
  const reason = Object.assign(new Error('EAGAIN', { cause }), { errno: EAGAIN, code: 'EAGAIN' });
  const group = reachedThreadLimit();
  const user = group === undefined ? processLimit('Max processes') : undefined;
  const limit =
    group !== undefined
      ? `pids.max of the control group is ${group}`
      : user !== undefined
        ? `ulimit -u is ${user}`
        : 'too many threads, or too little memory for another';
  return ioError(`Could not start a worker thread (${limit})`, reason, { expected: group ?? user });
}
