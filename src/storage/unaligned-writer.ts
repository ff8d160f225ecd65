/**
 * Writes at any offset and length to a storage that requires aligned writes, by read-modify-write. The compressed write
 * cache avoids this; it uses this writer when it is bypassed or stopped.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { alignedMemory } from '../system/aligned-memory.js';
import type { Storage } from './storage.js';

export class UnalignedWriter {
  readonly #storage: Storage;
  #bounce: Uint8Array = new Uint8Array(0);
  /** Two read-modify-write operations on the same block would lose a write, so only one runs at a time. */
  #last: Promise<void> = Promise.resolve();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /**
   * Writes `bytes` at `offset`; resolves when the descriptor has taken them. Calls are served in order.
   * @throws the error of the first failed write; all later calls fail with it and write nothing
   */
  write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#last = this.#last.then(() => this.#readModifyWrite(offset, bytes));
    return this.#last;
  }

  async #readModifyWrite(offset: number, bytes: Uint8Array): Promise<void> {
    const { alignment } = this.#storage;
    if (alignment === 1) return this.#storage.write(offset, [bytes]);
    const from = roundDown(offset, alignment);
    const length = roundUp(offset + bytes.length, alignment) - from;
    if (this.#bounce.length < length) this.#bounce = alignedMemory(length);
    const block = this.#bounce.subarray(0, length).fill(0);
    await this.#storage.read(from, block);
    block.set(bytes, offset - from);
    return this.#storage.write(from, [block]);
  }
}
