/** A file in memory that can be written to, far past its end too: the image of a repair. */
import type { Storage } from '../../../src/storage/storage.js';
import type { MemoryImage } from './memory-image.js';
import { promise } from './promises.js';

const BLOCK = 4096;

export class MemoryStorage implements Storage {
  readonly name = 'x.qcow2';
  readonly alignment = 1;
  /** The written blocks, by number. */
  readonly #blocks = new Map<number, Uint8Array>();
  readonly #below: MemoryImage;
  #bytesLeft: number;
  /** In whole sectors. */
  size: number;

  /** @param most bytes that may be written in all */
  constructor(below: MemoryImage, most: number) {
    this.#below = below;
    this.#bytesLeft = most;
    this.size = below.size;
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    return this.copy(offset, into);
  }

  copy(offset: number, into: Uint8Array): number {
    promise(Number.isSafeInteger(offset) && offset >= 0, 'a read begins at an offset:', offset);
    const found = Math.max(0, Math.min(into.length, this.size - offset));
    into.fill(0, 0, found);
    this.#below.copy(offset, into.subarray(0, found));
    for (let at = offset - (offset % BLOCK); at < offset + found; at += BLOCK) {
      const block = this.#blocks.get(at / BLOCK);
      if (block === undefined) continue;
      const from = Math.max(0, offset - at);
      into.set(block.subarray(from, Math.min(BLOCK, offset + found - at)), at + from - offset);
    }
    return found;
  }

  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    promise(Number.isSafeInteger(offset) && offset >= 0, 'a write begins at an offset:', offset);
    const bytes = Buffer.concat(buffers);
    this.#bytesLeft -= bytes.length;
    promise(this.#bytesLeft >= 0, 'writes are bounded: too many, at', offset, bytes.length);
    for (let done = 0; done < bytes.length; ) {
      const at = offset + done;
      const block = this.#blockAt(Math.floor(at / BLOCK));
      const part = bytes.subarray(done, done + BLOCK - (at % BLOCK));
      block.set(part, at % BLOCK);
      done += part.length;
    }
    this.size = Math.max(this.size, Math.ceil((offset + bytes.length) / 512) * 512);
  }

  async sync(): Promise<void> {}

  #blockAt(number: number): Uint8Array {
    let block = this.#blocks.get(number);
    if (block === undefined) {
      block = new Uint8Array(BLOCK);
      this.#below.copy(number * BLOCK, block);
      this.#blocks.set(number, block);
    }
    return block;
  }
}
