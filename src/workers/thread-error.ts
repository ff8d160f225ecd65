/** The error for a worker thread that the system cannot start. It names the limit that is the likely reason. */
import { readFileSync } from 'node:fs';
import { ioError, type Qcow2cError } from '../errors.js';
import { reachedThreadLimit } from '../system/control-groups.js';

/** pthread_create(3) gives the same reason for every limit: EAGAIN. */
const EAGAIN = -11;

/** @param cause thrown by the constructor of Worker: ERR_WORKER_INIT_FAILED, for all that Node.js tells */
export function threadError(cause: unknown): Qcow2cError {
  const reason = Object.assign(new Error('EAGAIN', { cause }), { errno: EAGAIN, code: 'EAGAIN' });
  const group = reachedThreadLimit();
  const user = group === undefined ? userThreadLimit() : undefined;
  const limit =
    group !== undefined
      ? `pids.max of the control group is ${group}`
      : user !== undefined
        ? `ulimit -u is ${user}`
        : 'too many threads, or too little memory for another';
  return ioError(`Could not start a worker thread (${limit})`, reason, { expected: group ?? user });
}

/** The limit on the threads of this user (RLIMIT_NPROC); undefined where there is none or the system does not tell. */
function userThreadLimit(): number | undefined {
  try {
    const soft = /^Max processes +(\d+) /m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}
