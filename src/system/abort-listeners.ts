/**
 * Listens to the AbortSignals of callers. Any number of conversions may share one signal: each signal gets one listener
 * from here, so that Node.js does not warn of a leak, and none once the last conversion has ended.
 */

interface Listening {
  readonly callbacks: Set<() => void>;
  readonly listener: () => void;
}

const listening = new WeakMap<AbortSignal, Listening>();

/**
 * @param callback called once when the signal comes; must not throw. Of a signal that has come before it never is.
 * @returns stops listening
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const { callbacks } = listening.get(signal) ?? listen(signal);
  // The same function may be passed twice.
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
