/** Reads a file or device as a stream source: from the descriptor's position to the end. */
import { abortedError } from '../errors.js';
import { closeUnwritten } from '../system/close-unwritten.js';
import { ReadError, readFully } from '../system/read-fully.js';

/** Standard input, output and error belong to the process and stay open. */
const LAST_STANDARD_DESCRIPTOR = 2;

export class FileReader {
  readonly #descriptor: number;
  readonly #closing = new AbortController();
  #received = 0;
  /** The pending fill. A read of a file cannot be cancelled, but it returns soon. */
  #filling: Promise<unknown> | undefined;

  /** @param descriptor closed with the reader unless it is standard input, output or error */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Bytes read so far. */
  get received(): number {
    return this.#received;
  }

  /**
   * Fills `memory`. Only one call may be pending.
   * @returns bytes read; fewer than `memory` takes only at the end
   * @throws the system's error; Qcow2cError ERR_ABORTED once closed
   */
  async fill(memory: Uint8Array): Promise<number> {
    const { signal } = this.#closing;
    const filling = readFully(this.#descriptor, memory, null, 1, signal);
    this.#filling = filling.catch(() => {});
    try {
      const count = await filling;
      this.#received += count;
      if (signal.aborted) throw abortedError(undefined);
      return count;
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
      this.#received += error.done;
      throw error.cause;
    }
  }

  /** Makes a pending `fill` fail once its read returns, and every later one at once. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    await this.#filling;
    if (this.#descriptor > LAST_STANDARD_DESCRIPTOR) await closeUnwritten(this.#descriptor);
  }
}
