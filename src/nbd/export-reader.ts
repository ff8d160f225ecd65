/**
 * Reads exports in a worker thread, which may block: through one connection for each export, or through that of the main
 * thread at first, and where the server allows no other one. Waits in short steps, so that a cancelled item ends soon.
 */
import { blockRead } from './block-reads.js';
import { changedSize, isRefused, NbdFailure } from './nbd-failure.js';
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
  /** Exports whose new connection was not waited for yet. */
  readonly #awaited = new Set<number>();
  /** Exports that are read through the main thread. */
  readonly #shared: Set<number>;

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
    try {
      const handle = this.#shared.has(number) ? undefined : this.#connected(opened);
      if (handle !== undefined) {
        this.#fill(opened, handle, into, offset);
        return;
      }
    } catch (error) {
      if (!(error instanceof NbdFailure && error.kind === 'lost')) throw error;
      if (settings.retries === 0) this.#shared.add(number);
    }
    this.#callbacks.readThroughMain(number, into, offset);
    this.#connect(opened);
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
          if (!isRefused(error)) throw error;
          // libnbd writes to the memory of the others still.
          failure ??= error;
        }
      }
      if (failure !== undefined) throw failure;
    } catch (error) {
      // Otherwise libnbd would write to the memory later.
      if (!isRefused(error)) this.#drop(opened);
      throw error;
    }
  }

  /**
   * Begins to connect. Only right after the main thread has read: its connection serves all workers, and after a restart
   * the server may take fewer clients.
   */
  #connect(opened: OpenExport): void {
    const { number, address, settings } = opened;
    if (this.#shared.has(number) || this.#connections.has(number)) return;
    this.#unlessRefused(opened, () => {
      this.#connections.set(number, new NbdHandle(address, settings));
      this.#awaited.add(number);
    });
  }

  /** @returns undefined without a connection, or as long as the server has not greeted it */
  #connected(opened: OpenExport): NbdHandle | undefined {
    const { number, facts } = opened;
    const handle = this.#connections.get(number);
    if (handle?.isConnecting !== true) return handle;
    return this.#unlessRefused(opened, () => {
      const patience = performance.now() + (this.#awaited.delete(number) ? GREETING_PATIENCE : 0);
      do {
        const left = Math.max(0, Math.ceil(patience - performance.now()));
        handle.poll(left);
        if (left === 0 && handle.isConnecting) return undefined;
      } while (handle.isConnecting);
      const { size } = handle.facts([]);
      if (size !== facts.size) throw changedSize(facts.size, size);
      return handle;
    });
  }

  /** @returns undefined if the server takes no further client; if it is gone, the main thread's connection tells */
  #unlessRefused<Result>(opened: OpenExport, connect: () => Result): Result | undefined {
    try {
      return connect();
    } catch (error) {
      this.#drop(opened);
      if (!(error instanceof NbdFailure) || error.kind === 'changed') throw error;
      this.#shared.add(opened.number);
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
}
