/**
 * A connection for the main thread: requests are made at once, any number may be under way, and their answers are
 * awaited without blocking. The thread's own event loop runs meanwhile; another thread waits for the socket.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { onAbort } from '../system/abort-listeners.js';
import { waitForSocket } from '../system/poll.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import type { NbdSettings } from './connection-options.js';
import type { ExportFacts } from './export-facts.js';
import { closedHere, isRefused, NbdFailure } from './nbd-failure.js';
import { NbdHandle } from './nbd-handle.js';
import type { NbdAddress } from './nbd-name.js';
import { withOpeningHint } from './opening-hint.js';
import { ServerClock } from './server-clock.js';

/** Milliseconds of one wait: a closed connection is noticed after at most so long. */
const WAIT = 100;

/** Milliseconds to wait for the greeting of a server that this process may wait for without end. */
const TAKEN_PATIENCE = 10_000;

/** Milliseconds that libnbd may work on a handshake: it keeps each name that is sent. One millisecond is usual. */
const HANDSHAKE_WORK = 2000;

/** How a connection is made. */
interface Opening {
  /** The meta contexts to ask for. */
  readonly contexts?: readonly string[];
  /** Stop before the export is chosen. */
  readonly optionMode?: boolean;
  /** Ends the attempt. */
  readonly signal?: AbortSignal;
  /** See `mayBeTaken`. */
  readonly mayBeTaken?: boolean;
}

/** A request under way. */
interface Pending {
  /** Made the request. Keeps the memory that libnbd reads or writes. */
  readonly begin: (handle: NbdHandle) => number;
  resolve(): void;
  reject(reason: unknown): void;
}

export class NbdConnection {
  readonly handle: NbdHandle;
  readonly #timeoutMs: number;
  readonly #pending = new Map<number, Pending>();
  #running = false;
  /** Whether the server has sent anything. */
  #isGreeted = false;
  #failure: NbdFailure | undefined;

  /**
   * Connects.
   * @throws Qcow2cError ERR_UNSUPPORTED without libnbd; NbdFailure
   */
  static async open(
    address: NbdAddress,
    settings: NbdSettings,
    { contexts = [], optionMode = false, signal, mayBeTaken = false }: Opening = {},
  ): Promise<NbdConnection> {
    await requireHost(address);
    if (signal?.aborted === true) throw closedHere();
    const handle = new NbdHandle(address, settings, contexts, optionMode);
    const connection = new NbdConnection(handle, settings.timeoutMs);
    const stopListening = signal && onAbort(signal, () => connection.close());
    try {
      if (mayBeTaken) await connection.#awaitGreeting();
      await connection.#advanceUntil(() => !handle.isConnecting);
      if (!handle.isUsable && !(optionMode && handle.isNegotiating)) {
        throw new NbdFailure('lost', 'the server closed the connection', { code: 'ENOTCONN' });
      }
      return connection;
    } catch (error) {
      connection.close();
      const isGreeted = connection.#isGreeted;
      throw withOpeningHint(error, address, settings, { isGreeted, mayBeTaken });
    } finally {
      stopListening?.();
    }
  }

  private constructor(handle: NbdHandle, timeoutMs: number) {
    this.handle = handle;
    this.#timeoutMs = timeoutMs;
  }

  /** Requests under way. */
  get load(): number {
    return this.#pending.size;
  }

  /** @throws NbdFailure */
  facts(contexts: readonly string[]): ExportFacts {
    return this.handle.facts(contexts);
  }

  /**
   * Makes a request and waits for its completion.
   * @param begin makes the request and returns its number
   * @throws NbdFailure
   */
  request(begin: (handle: NbdHandle) => number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure;
      this.#pending.set(begin(this.handle), { begin, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  /**
   * Negotiates an option, in option mode.
   * @param begin starts it
   * @throws NbdFailure
   */
  async negotiate(begin: (handle: NbdHandle) => void): Promise<void> {
    begin(this.handle);
    await this.#advanceUntil(() => this.handle.isNegotiating || !this.handle.isConnecting);
  }

  /** Requests under way and later ones fail. */
  close(reason = closedHere()): void {
    this.#fail(reason);
  }

  async #awaitGreeting(): Promise<void> {
    const clock = new ServerClock(Math.min(TAKEN_PATIENCE, this.#timeoutMs));
    await this.#advanceUntil(() => this.#isGreeted || !this.handle.isConnecting, clock);
  }

  /** Serves the socket while requests are under way. */
  async #run(): Promise<void> {
    this.#running = true;
    const clock = new ServerClock(this.#timeoutMs);
    try {
      await this.#advanceUntil(() => {
        for (const [request, { resolve, reject }] of this.#pending) {
          try {
            if (!this.handle.isCompleted(request)) continue;
            this.#pending.delete(request);
            clock.answered();
            resolve();
          } catch (error) {
            if (!this.handle.isUsable || !isRefused(error)) throw error;
            this.#pending.delete(request);
            clock.answered();
            reject(error);
          }
        }
        return this.#pending.size === 0;
      }, clock);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#running = false;
    }
    // A caller that got its answer may have made a request before this one ended.
    if (this.#pending.size > 0) void this.#run();
  }

  /** @throws NbdFailure, also as `ServerClock.check` */
  async #advanceUntil(
    isDone: () => boolean,
    clock = new ServerClock(this.#timeoutMs, HANDSHAKE_WORK),
  ): Promise<void> {
    while (!isDone()) {
      // The server may send faster than this side reads.
      await yieldToEventLoop(undefined);
      if (this.#failure !== undefined) throw this.#failure;
      const { descriptor, ...wanted } = this.handle.awaited;
      const { readable, writable } = await waitForSocket(descriptor, wanted, Math.min(WAIT, this.#timeoutMs));
      if (this.#failure !== undefined) throw this.#failure;
      if (readable) this.#isGreeted = true;
      if (readable || writable) {
        const start = performance.now();
        // The end of a stream counts as readable, also while libnbd waits to write.
        this.handle.notify(wanted.write && (writable || !wanted.read) ? 'writable' : 'readable');
        clock.heard(performance.now() - start);
      }
      clock.check();
    }
  }

  /** Ends the connection: libnbd then no longer writes to the memory of requests. */
  #fail(reason: unknown): void {
    this.#failure ??= reason instanceof NbdFailure ? reason : new NbdFailure('broken', String(reason));
    this.handle.close();
    for (const { reject } of this.#pending.values()) reject(this.#failure);
    this.#pending.clear();
  }
}

/** Finds the host first: libnbd would block the thread while it asks for an address that takes long. */
async function requireHost({ server }: NbdAddress): Promise<void> {
  if (server.kind !== 'inet' || isIP(server.host) !== 0) return;
  try {
    await lookup(server.host);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new NbdFailure('broken', `the host is not known (${code})`, { code });
  }
}
