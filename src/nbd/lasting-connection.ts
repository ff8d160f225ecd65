/** The connection of the main thread to an export that is read: another one takes its place when it is lost. */
import { setTimeout as later } from 'node:timers/promises';
import { NbdConnection } from './nbd-connection.js';
import { changedSize, NbdFailure, retryDelay } from './nbd-failure.js';
import type { NbdHandle } from './nbd-handle.js';
import type { OpenExport } from './open-exports.js';

/** Makes a request and returns its number. */
export type Begin = (handle: NbdHandle) => number;

export class LastingConnection {
  readonly #opened: OpenExport;
  readonly #contexts: readonly string[];
  /** Whether the first connection is closed by its owner. */
  readonly #isShared: boolean;
  #connection: NbdConnection;
  #reconnecting: Promise<void> | undefined;
  /** Why the server did not open the export again. */
  #refusal: NbdFailure | undefined;
  readonly #closing = new AbortController();

  /** @param contexts the meta contexts to ask for */
  constructor(opened: OpenExport, contexts: readonly string[], connection: NbdConnection, isShared: boolean) {
    this.#opened = opened;
    this.#contexts = contexts;
    this.#connection = connection;
    this.#isShared = isShared;
  }

  /** Makes a request, again after a lost connection was re-established. @throws NbdFailure */
  async request(begin: Begin): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      const connection = this.#connection;
      try {
        return await connection.request(begin);
      } catch (error) {
        const isLost = error instanceof NbdFailure && error.kind === 'lost';
        if (!isLost || this.#closing.signal.aborted) throw error;
        if (attempt >= this.#opened.settings.retries) throw this.#refusal ?? error;
      }
      // Requests that were under way together share the next connection.
      if (connection !== this.#connection) continue;
      this.#reconnecting ??= this.#reconnect(attempt);
      await this.#reconnecting;
    }
  }

  /** Requests under way fail, and an attempt to reconnect ends. */
  close(): void {
    this.#closing.abort();
    if (!this.#isShared) this.#connection.close();
  }

  /**
   * Makes one attempt. A server that is not there yet, or does not have the export yet, is no error.
   * @throws NbdFailure if the export is another one now, or the server is silent
   */
  async #reconnect(attempt: number): Promise<void> {
    const { address, settings, facts } = this.#opened;
    const { signal } = this.#closing;
    let connection: NbdConnection | undefined;
    try {
      await later(retryDelay(attempt), undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      connection = await NbdConnection.open(address, settings, { contexts: this.#contexts, signal });
      const { size } = connection.facts([]);
      if (size !== facts.size) throw changedSize(facts.size, size);
      this.#connection = connection;
      this.#refusal = undefined;
      // `close` found the lost connection.
      if (signal.aborted) connection.close();
    } catch (error) {
      connection?.close();
      if (!(error instanceof NbdFailure) || error.kind === 'changed' || error.kind === 'silent') throw error;
      this.#refusal = error.kind === 'broken' ? error : undefined;
    } finally {
      this.#reconnecting = undefined;
    }
  }
}
