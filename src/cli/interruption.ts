/**
 * Turns a signal or an uncaught exception into an AbortSignal, so that the command cleans up before the program ends.
 */
import type { EventEmitter } from 'node:events';
import { constants } from 'node:os';

const STOPPING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export type StoppingSignal = (typeof STOPPING)[number];

export class Interruption {
  readonly #process: EventEmitter;
  readonly #controller = new AbortController();
  #signal: StoppingSignal | undefined;
  #crash: { readonly error: unknown } | undefined;

  /** @param process emits signals under their names, and `uncaughtException` */
  constructor(process: EventEmitter) {
    this.#process = process;
    for (const name of STOPPING) process.on(name, this.#onSignal);
    process.on('uncaughtException', this.#onCrash);
  }

  /** Aborted by the first event. Later events are ignored while the command cleans up. */
  get abortSignal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The first signal, if it came before any uncaught exception. */
  get signal(): StoppingSignal | undefined {
    return this.#signal;
  }

  /** The first uncaught exception, if it came before any signal. */
  get crash(): { readonly error: unknown } | undefined {
    return this.#crash;
  }

  /** Restores the default handling of signals and exceptions. */
  release(): void {
    for (const name of STOPPING) this.#process.off(name, this.#onSignal);
    this.#process.off('uncaughtException', this.#onCrash);
  }

  readonly #onSignal = (signal: StoppingSignal): void => {
    if (!this.abortSignal.aborted) this.#signal = signal;
    this.#controller.abort();
  };

  readonly #onCrash = (error: unknown): void => {
    if (!this.abortSignal.aborted) this.#crash = { error };
    this.#controller.abort();
  };
}

/** @returns the signal of an exit code; undefined for other codes */
export function signalOf(exitCode: number): StoppingSignal | undefined {
  return STOPPING.find((signal) => exitCodeOf(signal) === exitCode);
}

/** The exit code that shells report for a program ended by a signal: 130, 143 or 129. */
export function exitCodeOf(signal: StoppingSignal): number {
  return 128 + constants.signals[signal];
}
