/** Callbacks that libnbd takes by value, as structs. */

/** A function pointer, the number that it is called with, and no function that frees it. */
export interface Callback {
  readonly callback: unknown;
  readonly user: number;
  readonly free: null;
}

/** No callback. */
export const NO_CALLBACK: Callback = { callback: null, user: 0, free: null };

/** A listener that a request calls. */
export interface Listening {
  /** For the request. */
  readonly callback: Callback;
  /** Forgets the listener; call it when the request is completed. */
  stop(): void;
}

/** The listeners of one kind. koffi has room for a few thousand callbacks only, so all of them share one. */
export class Listeners<Values extends readonly unknown[]> {
  readonly #register: (listener: (user: number, ...values: Values) => void) => unknown;
  readonly #listeners = new Map<number, (...values: Values) => void>();
  #pointer: unknown;
  #nextUser = 1;

  /** @param register makes the function pointer, once; `user` is the number in the `Callback` */
  constructor(register: (listener: (user: number, ...values: Values) => void) => unknown) {
    this.#register = register;
  }

  add(listener: (...values: Values) => void): Listening {
    this.#pointer ??= this.#register((user, ...values) => this.#listeners.get(user)?.(...values));
    const user = this.#nextUser;
    this.#nextUser += 1;
    this.#listeners.set(user, listener);
    return {
      callback: { callback: this.#pointer, user, free: null },
      stop: () => this.#listeners.delete(user),
    };
  }
}
