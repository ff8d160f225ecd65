/**
 * Whether the process may open the descriptors that worker threads need, for the pool. Asked beforehand: a thread that
 * finds none left says little of why it could not start, and Node.js does not close those that it had opened.
 */
import { closeSync, openSync } from 'node:fs';
import { ioError } from '../errors.js';

/** The event loop of a thread has five at most: for epoll, an eventfd, a pipe. It loads up to seven modules at once. */
const OF_A_THREAD = 12;

/** A directory that is always there, also where /dev is empty. */
const ROOT = '/';

/** @throws Qcow2cError ERR_IO (EMFILE, ENFILE) when they are more than the process or the system may open now */
export function requireDescriptorHeadroom(threads: number): void {
  const wanted = OF_A_THREAD * threads;
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
