/**
 * Turns what would end the program on the spot (a signal, an error nobody caught) into an AbortSignal, so
 * that the conversion under way can clean up first. Used by the convert command.
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

  /** Aborted by the first event; later ones change nothing: the clean-up is waited for. */
  get abortSignal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The first signal that came, if one came before any error. */
  get signal(): StoppingSignal | undefined {
    return this.#signal;
  }

  /** The first error that nobody caught, if one came before any signal. */
  get crash(): { readonly error: unknown } | undefined {
    return this.#crash;
  }

  /** Lets signals and errors take their usual course again. */
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

/** @returns the signal that an exit code stands for; undefined: none that stops the program */
export function signalOf(exitCode: number): StoppingSignal | undefined {
  return STOPPING.find((signal) => exitCodeOf(signal) === exitCode);
}

/** The exit code by which shells know a program that a signal ended: 130, 143 or 129. */
export function exitCodeOf(signal: StoppingSignal): number {
  return 128 + constants.signals[signal];
}
