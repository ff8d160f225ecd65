/** A raw disk as a stream: its writes come in ascending order, and the gaps between them become zeros. */
import { internalError } from '../errors.js';
import { ForwardFile } from './forward-file.js';
import type { OutputStream } from './output-stream.js';

export class AscendingFile extends ForwardFile {
  readonly #stream: OutputStream;
  /** The end of the last write, in bytes. */
  #end = 0;
  /** The last call: each call writes after the one before. */
  #last: Promise<void> = Promise.resolve();

  constructor(stream: OutputStream) {
    super(stream.name, 1, stream);
    this.#stream = stream;
  }

  /** Calls may overlap in time. Each range begins where the one before ends, or after it. */
  write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    const gap = this.#advance(offset);
    for (const { length } of buffers) this.#end += length;
    return this.#afterLast(async () => {
      await this.#stream.writeZeros(gap);
      for (const bytes of buffers) await this.#stream.write(bytes);
    });
  }

  complete(length: number): Promise<void> {
    const gap = this.#advance(length);
    return this.#afterLast(async () => {
      await this.#stream.writeZeros(gap);
      await this.#stream.end();
    });
  }

  /** @returns bytes between the last write and this one */
  #advance(offset: number): number {
    const gap = offset - this.#end;
    if (gap < 0) throw internalError(`a write at offset ${offset} after one that ends at ${this.#end}`);
    this.#end = offset;
    return gap;
  }

  #afterLast(write: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(write);
    return this.#last;
  }
}
