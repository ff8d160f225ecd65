/** Reads a file or device from where its descriptor stands to its end, for a stream as a source. */
import { abortedError } from '../errors.js';
import { closeUnwritten } from '../system/close-unwritten.js';
import { ReadError, readFully } from '../system/read-fully.js';

/** Standard input, output and error belong to the process. */
const LAST_STANDARD_DESCRIPTOR = 2;

export class FileReader {
  readonly #descriptor: number;
  readonly #closing = new AbortController();
  #received = 0;
  /** The fill under way. The read that it waits for cannot be ended: a file answers soon. */
  #filling: Promise<unknown> | undefined;

  /** @param descriptor closed with the reader, unless it is a standard one */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Bytes handed out so far. */
  get received(): number {
    return this.#received;
  }

  /**
   * One at a time.
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

  /** Makes a pending `fill` fail, when its read comes back, and every later one. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    await this.#filling;
    if (this.#descriptor > LAST_STANDARD_DESCRIPTOR) await closeUnwritten(this.#descriptor);
  }
}
