/**
 * What an image and its backing files have to say of guest bytes: each leaves what it does not hold to the one
 * below (get_block_status in qemu-img.c).
 */

import { type LayerStatus, statusOf } from './layer-status.js';
import type { OpenedLayer } from './open-image.js';

export interface ChainStatus extends LayerStatus {
  /** Which image says so: 0 is the topmost. */
  readonly depth: number;
  /** Whether that image holds it itself. */
  readonly present: boolean;
}

/** A layer with its last answer: it is asked for every range of the layers below it. */
class AnsweringLayer {
  readonly size: number;
  readonly #ask: (offset: number) => Promise<LayerStatus>;
  #start = 0;
  #last: LayerStatus | undefined;

  constructor(opened: OpenedLayer) {
    this.size = opened.layer.size;
    this.#ask = statusOf(opened, 'zeros', 'together');
  }

  async at(offset: number): Promise<LayerStatus> {
    const into = offset - this.#start;
    if (this.#last === undefined || into < 0 || into >= this.#last.length) {
      this.#last = await this.#ask(offset);
      this.#start = offset;
      return this.#last;
    }
    const { place, length } = this.#last;
    const later = place && { ...place, offset: place.offset + into };
    return { ...this.#last, length: length - into, place: later };
  }
}

export class StatusChain {
  readonly #layers: readonly AnsweringLayer[];

  /** @param layers at least one, the topmost first */
  constructor(layers: readonly OpenedLayer[]) {
    this.#layers = layers.map((opened) => new AnsweringLayer(opened));
  }

  /**
   * @param offset guest bytes, below the size of the topmost layer
   * @throws Qcow2cError ERR_CORRUPT, ERR_IO: that cannot be known
   */
  async at(offset: number): Promise<ChainStatus> {
    let length = Number.POSITIVE_INFINITY;
    let depth = 0;
    for (const layer of this.#layers) {
      const status = await layer.at(offset);
      length = Math.min(length, status.length, layer.size - offset);
      if (status.data || status.zero) return { ...status, length, depth, present: true };
      depth += 1;
      const below = this.#layers[depth];
      // Zeros, for want of anything else; but a backing file, or a longer one, could hold something.
      if (below === undefined || offset >= below.size) {
        return { ...status, length, depth: depth - 1, present: false, zero: true };
      }
    }
    throw new RangeError('a chain without layers');
  }
}
