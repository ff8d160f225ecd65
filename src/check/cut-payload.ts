/**
 * Tells whether the payload of a compressed cluster is complete although it seems to end past the end of the file.
 * The length in a descriptor counts whole sectors, and some writers store too many. Therefore the bytes of the file
 * are inflated.
 */
import { Qcow2cError } from '../errors.js';
import type { CheckedImage } from './checked-image.js';
import type { CutShort } from './findings.js';

/**
 * Most bytes of clusters inflated in one analysis: those in the last 64 KiB of a file, even if they are tiny. Later
 * ones count as cut off.
 */
const MOST_INFLATED = 2 ** 26;

export class CutPayloads {
  readonly #image: CheckedImage;
  #inflated = 0;
  /** The last result: snapshots share clusters. */
  #last: { readonly offset: bigint; readonly isWhole: boolean } | undefined;

  constructor(image: CheckedImage) {
    this.#image = image;
  }

  /**
   * @param finding of a compressed cluster
   * @returns whether the bytes in the file yield the whole cluster; false if no engine is available
   * @throws Qcow2cError ERR_IO
   */
  async isWhole({ offset, size }: CutShort): Promise<boolean> {
    if (this.#last?.offset !== offset) {
      this.#last = { offset, isWhole: await this.#inflates(Number(offset), Number(size)) };
    }
    return this.#last.isWhole;
  }

  async #inflates(offset: number, size: number): Promise<boolean> {
    const { file, end, header, geometry } = this.#image;
    this.#inflated += geometry.clusterSize;
    if (offset >= end || this.#inflated > MOST_INFLATED) return false;
    const payload = new Uint8Array(Math.min(size, end - offset));
    await file.read(offset, payload);
    try {
      // Loaded on demand, so that other checks start faster.
      const { createDecompressor } = await import('../engines/create-engine.js');
      const decompressor = await createDecompressor({ type: header.compressionType });
      try {
        decompressor.decompress(payload, new Uint8Array(geometry.clusterSize));
        return true;
      } finally {
        decompressor.free();
      }
    } catch (error) {
      if (error instanceof Qcow2cError) return false;
      throw error;
    }
  }
}
