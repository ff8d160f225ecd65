/** Reads at any offset and length from a storage that requires aligned reads. Used for the tables of a target. */
import { roundDown, roundUp } from '../arithmetic.js';
import { alignedMemory } from '../system/aligned-memory.js';
import type { Storage } from './storage.js';

/** Bytes of one read; longer ones are split. */
const READ_BYTES = 256 * 1024;

export class UnalignedReader {
  readonly #storage: Storage;
  #bounce: Uint8Array | undefined;
  /** Reads share one piece of aligned memory, so only one runs at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /**
   * Fills `into` from `offset` (bytes). Calls are served in order.
   * @returns bytes read; fewer than requested only at the end of the file
   * @throws Qcow2cError ERR_IO
   */
  read(offset: number, into: Uint8Array): Promise<number> {
    const result = this.#last.then(() => this.#read(offset, into));
    this.#last = result.catch(() => {});
    return result;
  }

  async #read(offset: number, into: Uint8Array): Promise<number> {
    const { alignment } = this.#storage;
    if (alignment === 1) return this.#storage.read(offset, into);
    this.#bounce ??= alignedMemory(READ_BYTES);
    let done = 0;
    while (done < into.length) {
      const from = roundDown(offset + done, alignment);
      const skip = offset + done - from;
      const wanted = Math.min(skip + into.length - done, READ_BYTES);
      const block = this.#bounce.subarray(0, roundUp(wanted, alignment));
      const found = Math.min(await this.#storage.read(from, block), wanted);
      if (found <= skip) break;
      into.set(block.subarray(skip, found), done);
      done += found - skip;
      if (found < wanted) break;
    }
    return done;
  }
}
