/** Ends a run soon after its caller's signal, even if a system call does not return. */
import { abortedError, Qcow2cError } from '../errors.js';
import { onAbort } from '../system/abort-listeners.js';

/** Milliseconds for a run to stop and clean up after the signal. A run usually takes a few. */
export const CLEAN_UP_TIME = 400;

/**
 * @param work rejects with ERR_ABORTED after the signal, as soon as its pending calls return. It is not started if the
 *   signal came before.
 * @param abandon called, and awaited, when the work has not ended in time. The work goes on in the background until
 *   its calls return; its outcome is ignored.
 * @param patience milliseconds between the signal and `abandon`
 * @returns the work's result, if it ends in time
 * @throws the work's error, if it ends in time; Qcow2cError ERR_ABORTED otherwise. After the signal every ERR_ABORTED
 *   has the signal's reason as its cause.
 */
export async function endPromptly<Result>(
  signal: AbortSignal | undefined,
  work: () => Promise<Result>,
  abandon: () => Promise<void> = async () => {},
  patience = CLEAN_UP_TIME,
): Promise<Result> {
  if (signal === undefined) return work();
  if (signal.aborted) throw abortedError(signal.reason);
  let timer: NodeJS.Timeout | undefined;
  let stopListening = () => {};
  const late = new Promise<boolean>((resolve) => {
    stopListening = onAbort(signal, () => {
      timer = setTimeout(() => resolve(false), patience);
    });
  });
  const running = work();
  const ended = running.then(
    () => true,
    () => true,
  );
  try {
    if (await Promise.race([ended, late])) return await running;
    await abandon();
    throw abortedError(signal.reason);
  } catch (error) {
    throw signal.aborted ? withReason(error, signal.reason) : error;
  } finally {
    clearTimeout(timer);
    stopListening();
  }
}

/** Adds the signal's reason: a part of the run that only noticed a closed file does not know it. */
function withReason(error: unknown, reason: unknown): unknown {
  const isWithout = error instanceof Qcow2cError && error.code === 'ERR_ABORTED' && error.cause !== reason;
  return isWithout ? abortedError(reason) : error;
}
