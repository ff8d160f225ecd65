/** Ends a run soon after its caller's signal, also when a system call under way does not return. */
import { abortedError } from '../errors.js';
import { onAbort } from '../system/abort-listeners.js';

/** Milliseconds that a run may take to stop and clean up after the signal. Mostly it takes a few. */
export const CLEAN_UP_TIME = 400;

/**
 * @param work rejects with ERR_ABORTED after the signal, as soon as the calls under way allow
 * @param abandon called when the work has not ended in time, and waited for. The work goes on in the background until
 *   its calls return; what comes of it is ignored.
 * @param patience milliseconds between the signal and `abandon`
 * @returns what the work returns, if it ends in time
 * @throws what the work throws, if it ends in time; else Qcow2cError ERR_ABORTED
 */
export async function endPromptly<Result>(
  signal: AbortSignal | undefined,
  work: Promise<Result>,
  abandon: () => Promise<void> = async () => {},
  patience = CLEAN_UP_TIME,
): Promise<Result> {
  if (signal === undefined) return work;
  let timer: NodeJS.Timeout | undefined;
  let stopListening = () => {};
  const late = new Promise<boolean>((resolve) => {
    const begin = () => {
      timer = setTimeout(() => resolve(false), patience);
    };
    if (signal.aborted) begin();
    else stopListening = onAbort(signal, begin);
  });
  const ended = work.then(
    () => true,
    () => true,
  );
  try {
    if (await Promise.race([ended, late])) return await work;
    await abandon();
    throw abortedError(signal.reason);
  } finally {
    clearTimeout(timer);
    stopListening();
  }
}
