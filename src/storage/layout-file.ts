/** The first pass over an image that is written from start to end: keeps its layout and discards its data. */
import { ForwardFile } from './forward-file.js';
import type { ImageLayout } from './image-layout.js';
import type { WriteKind } from './storage.js';

export class LayoutFile extends ForwardFile {
  readonly #layout: ImageLayout;

  /** @param alignment bytes; that of the second pass */
  constructor(layout: ImageLayout, name: string, alignment: number) {
    super(name, alignment, undefined);
    this.#layout = layout;
  }

  async write(offset: number, buffers: readonly Uint8Array[], kind: WriteKind = 'data'): Promise<void> {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    if (kind === 'data') this.#layout.addData(offset, length);
    else await this.#layout.addTables(offset, Buffer.concat(buffers));
  }

  async complete(length: number): Promise<void> {
    this.#layout.length = length;
  }
}
