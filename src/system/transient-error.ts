/**
 * Errors of a read or write that pass by themselves: interrupted calls and full queues. The caller retries a limited
 * number of times: an error that stays is a fault.
 */

/** Consecutive attempts that may transfer no byte before an operation fails. */
export const MOST_IDLE_ATTEMPTS = 8;

/** Whether the operation that failed with `error` may be retried unchanged. */
export function isTransient(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EINTR' || code === 'EAGAIN';
}
