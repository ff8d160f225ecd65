/**
 * Reads exports in a worker thread, which may block: one connection for each export, made at the first read. Waits in
 * short steps, so that a cancelled item ends soon.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { NbdFailure, silence } from './nbd-failure.js';
import { NbdHandle } from './nbd-handle.js';
import type { OpenExport } from './open-exports.js';

/** Milliseconds of one wait. */
const WAIT = 100;

export class ExportReader {
  readonly #exports: ReadonlyMap<number, OpenExport>;
  readonly #throwIfCancelled: () => void;
  readonly #connections = new Map<number, NbdHandle>();

  /** @param throwIfCancelled called before each wait; throws to end a read */
  constructor(exports: readonly OpenExport[], throwIfCancelled: () => void) {
    this.#exports = new Map(exports.map((one) => [one.number, one]));
    this.#throwIfCancelled = throwIfCancelled;
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
    const { size, minimumBlock } = opened.facts;
    const found = Math.max(0, Math.min(into.length, size - offset));
    const from = roundDown(offset, minimumBlock);
    const to = Math.min(roundUp(offset + found, minimumBlock), size);
    if (found === 0) return 0;
    if (from === offset && to === offset + found) {
      this.#fill(opened, into.subarray(0, found), offset);
    } else {
      const whole = new Uint8Array(to - from);
      this.#fill(opened, whole, from);
      into.set(whole.subarray(offset - from, offset - from + found));
    }
    return found;
  }

  /** Closes all connections. */
  close(): void {
    for (const handle of this.#connections.values()) handle.close();
    this.#connections.clear();
  }

  /** Reads a range of whole blocks. */
  #fill(opened: OpenExport, into: Uint8Array, offset: number): void {
    const handle = this.#connected(opened);
    const { maximumRequest } = opened.facts;
    try {
      for (let done = 0; done < into.length; done += maximumRequest) {
        const request = handle.read(into.subarray(done, done + maximumRequest), offset + done);
        this.#wait(handle, opened, () => handle.isCompleted(request));
      }
    } catch (error) {
      // Otherwise libnbd would write to the memory later.
      if (!(error instanceof NbdFailure && error.kind === 'refused')) this.#drop(opened);
      throw error;
    }
  }

  #connected(opened: OpenExport): NbdHandle {
    const known = this.#connections.get(opened.number);
    if (known !== undefined) return known;
    const handle = new NbdHandle(opened.address, opened.settings);
    this.#connections.set(opened.number, handle);
    try {
      this.#wait(handle, opened, () => !handle.isConnecting);
      return handle;
    } catch (error) {
      this.#drop(opened);
      throw error;
    }
  }

  #drop({ number }: OpenExport): void {
    this.#connections.get(number)?.close();
    this.#connections.delete(number);
  }

  #wait(handle: NbdHandle, { settings: { timeoutMs } }: OpenExport, isDone: () => boolean): void {
    let silentSince = performance.now();
    while (!isDone()) {
      this.#throwIfCancelled();
      if (handle.poll(Math.min(WAIT, timeoutMs))) silentSince = performance.now();
      else if (performance.now() - silentSince >= timeoutMs) throw silence(timeoutMs);
    }
  }
}
