/**
 * Reads exports in a worker thread, which may block: through one connection for each export, made at the first read, or
 * through the main thread's connection where the server allows no other one. Waits in short steps, so that a cancelled
 * item ends soon.
 */
import { blockRead } from './block-reads.js';
import { changedSize, NbdFailure, retryDelay } from './nbd-failure.js';
import { NbdHandle } from './nbd-handle.js';
import type { OpenExport } from './open-exports.js';
import { ServerClock } from './server-clock.js';

/** Milliseconds of one wait. */
const WAIT = 100;
/**
 * Milliseconds that a new connection is waited for. Until it is made, the main thread's connection serves: a server may
 * leave further clients waiting for as long as it has enough of them.
 */
const GREETING_PATIENCE = 50;
/** Bytes of one request; several are under way, so that the server reads ahead. */
const PIECE = 512 * 1024;

interface ReaderCallbacks {
  /** Called before each wait; throws to end a read. */
  throwIfCancelled(): void;
  /** Reads whole blocks through the main thread's connection. @throws NbdFailure */
  readThroughMain(number: number, into: Uint8Array, offset: number): void;
}

export class ExportReader {
  readonly #exports: ReadonlyMap<number, OpenExport>;
  readonly #callbacks: ReaderCallbacks;
  readonly #connections = new Map<number, NbdHandle>();
  /** Exports that this thread has been connected to. */
  readonly #greeted = new Set<number>();
  /** Exports that are read through the main thread. */
  readonly #shared: Set<number>;
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));

  constructor(exports: readonly OpenExport[], callbacks: ReaderCallbacks) {
    this.#exports = new Map(exports.map((one) => [one.number, one]));
    this.#callbacks = callbacks;
    this.#shared = new Set(
      exports.filter(({ facts }) => !facts.allowsConnections).map(({ number }) => number),
    );
  }

  /**
   * @param number of the export
   * @param offset bytes in the export
   * @returns bytes read; fewer than `into` takes only at the end of the export
   * @throws NbdFailure
   */
  read(number: number, into: Uint8Array, offset: number): number {
    const opened = this.#exports.get(number);
    if (opened === undefined) throw new NbdFailure('closed', 'the export is not open');
    const read = blockRead(opened.facts, offset, into);
    if (read === undefined) return 0;
    this.#readBlocks(opened, read.blocks, read.from);
    return read.finish();
  }

  /** Closes all connections. */
  close(): void {
    for (const handle of this.#connections.values()) handle.close();
    this.#connections.clear();
  }

  #readBlocks(opened: OpenExport, into: Uint8Array, offset: number): void {
    const { number, settings } = opened;
    for (let attempt = 0; ; attempt += 1) {
      try {
        const handle = this.#shared.has(number) ? undefined : this.#connected(opened);
        if (handle === undefined) break;
        this.#fill(opened, handle, into, offset);
        return;
      } catch (error) {
        const isLost = error instanceof NbdFailure && error.kind === 'lost';
        if (!isLost || attempt >= settings.retries) throw error;
      }
      this.#sleep(retryDelay(attempt));
    }
    // The main thread tries again by itself.
    this.#callbacks.readThroughMain(number, into, offset);
  }

  #fill(opened: OpenExport, handle: NbdHandle, into: Uint8Array, offset: number): void {
    const { maximumRequest, minimumBlock } = opened.facts;
    const piece = Math.min(maximumRequest, Math.max(PIECE, minimumBlock));
    try {
      const requests: number[] = [];
      for (let at = 0; at < into.length; at += piece) {
        requests.push(handle.read(into.subarray(at, at + piece), offset + at));
      }
      let failure: unknown;
      for (const request of requests) {
        try {
          this.#wait(handle, opened.settings.timeoutMs, () => handle.isCompleted(request));
        } catch (error) {
          if (!(error instanceof NbdFailure && error.kind === 'refused')) throw error;
          // libnbd writes to the memory of the others still.
          failure ??= error;
        }
      }
      if (failure !== undefined) throw failure;
    } catch (error) {
      // Otherwise libnbd would write to the memory later.
      if (!(error instanceof NbdFailure && error.kind === 'refused')) this.#drop(opened);
      throw error;
    }
  }

  /** @returns undefined as long as the server has not greeted this connection, or if it allows no further one */
  #connected(opened: OpenExport): NbdHandle | undefined {
    const { number, address, settings, facts } = opened;
    const known = this.#connections.get(number);
    if (known !== undefined && !known.isConnecting) return known;
    try {
      const handle = known ?? new NbdHandle(address, settings);
      this.#connections.set(number, handle);
      const patience = performance.now() + (known === undefined ? GREETING_PATIENCE : 0);
      do {
        const left = Math.max(0, Math.ceil(patience - performance.now()));
        handle.poll(left);
        if (left === 0 && handle.isConnecting) return undefined;
      } while (handle.isConnecting);
      const { size } = handle.facts([]);
      if (size !== facts.size) throw changedSize(facts.size, size);
      this.#greeted.add(number);
      return handle;
    } catch (error) {
      this.#drop(opened);
      if (this.#greeted.has(number) || !(error instanceof NbdFailure) || error.kind === 'changed')
        throw error;
      // A server that takes no further client; if it is gone, the main thread's connection tells.
      this.#shared.add(number);
      return undefined;
    }
  }

  #drop({ number }: OpenExport): void {
    this.#connections.get(number)?.close();
    this.#connections.delete(number);
  }

  #wait(handle: NbdHandle, timeoutMs: number, isDone: () => boolean): void {
    const clock = new ServerClock(timeoutMs);
    while (!isDone()) {
      this.#callbacks.throwIfCancelled();
      if (handle.poll(Math.min(WAIT, timeoutMs))) clock.heard();
      clock.check();
    }
  }

  #sleep(milliseconds: number): void {
    const end = performance.now() + milliseconds;
    for (let left = milliseconds; left > 0; left = end - performance.now()) {
      this.#callbacks.throwIfCancelled();
      Atomics.wait(this.#sleeper, 0, 0, Math.min(WAIT, left));
    }
  }
}
