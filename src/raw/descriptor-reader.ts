/** Reads a file or device from where its descriptor stands to its end, for a stream as a source. */
import { abortedError } from '../errors.js';
import { closeUnwritten } from '../system/close-unwritten.js';
import { readAt } from '../system/read-at.js';
import { isTransient, MOST_IDLE_ATTEMPTS } from '../system/transient-error.js';

/** Standard input, output and error belong to the process. */
const LAST_STANDARD_DESCRIPTOR = 2;

export class FileReader {
  readonly #descriptor: number;
  #received = 0;
  #closed = false;
  /** The read under way, which nothing can end: a file answers soon. */
  #read: Promise<unknown> | undefined;

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
   * @returns how many bytes came; fewer than `memory` takes only at the end
   * @throws the system's error; Qcow2cError ERR_ABORTED once closed
   */
  async fill(memory: Uint8Array): Promise<number> {
    let filled = 0;
    let idle = 0;
    while (filled < memory.length && !this.#closed) {
      const read = readAt(this.#descriptor, memory.subarray(filled), null);
      this.#read = read.catch(() => {});
      try {
        const count = await read;
        if (count === 0) break;
        filled += count;
        this.#received += count;
        idle = 0;
      } catch (error) {
        idle += 1;
        if (!isTransient(error) || idle > MOST_IDLE_ATTEMPTS) throw error;
      }
    }
    if (this.#closed) throw abortedError(undefined);
    return filled;
  }

  /** Makes a pending `fill` fail, when its read comes back, and every later one. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#read;
    if (this.#descriptor > LAST_STANDARD_DESCRIPTOR) await closeUnwritten(this.#descriptor);
  }
}
