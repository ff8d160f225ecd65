/**
 * Listens to the AbortSignals of callers. Any number of conversions may share a signal. Each signal gets one listener,
 * so that Node.js does not warn of a leak. The listener is removed when the last conversion has ended.
 */

interface Listening {
  readonly callbacks: Set<() => void>;
  readonly listener: () => void;
}

const listening = new WeakMap<AbortSignal, Listening>();

/**
 * @param callback called once when the signal aborts; must not throw. Never called for a signal that is aborted
 *   already.
 * @returns stops listening
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const { callbacks } = listening.get(signal) ?? listen(signal);
  // The same function may be added twice.
  const entry = () => callback();
  callbacks.add(entry);
  return () => {
    callbacks.delete(entry);
    if (callbacks.size === 0) stopListening(signal);
  };
}

function listen(signal: AbortSignal): Listening {
  const callbacks = new Set<() => void>();
  const listener = () => {
    stopListening(signal);
    for (const callback of [...callbacks]) callback();
  };
  const added = { callbacks, listener };
  listening.set(signal, added);
  signal.addEventListener('abort', listener);
  return added;
}

function stopListening(signal: AbortSignal): void {
  const { listener } = listening.get(signal) ?? {};
  if (listener === undefined) return;
  signal.removeEventListener('abort', listener);
  listening.delete(signal);
}
