/**
 * Failures of a read or write that pass by themselves: signals and full queues. Whoever reads or writes tries again,
 * but not for ever: what stays is a fault.
 */

/** Attempts in a row that may move no byte before an operation is given up. */
export const MOST_IDLE_ATTEMPTS = 8;

/** Whether what failed with `error` may be tried again as it was. */
export function isTransient(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EINTR' || code === 'EAGAIN';
}
