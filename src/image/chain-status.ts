/**
 * What an image and its backing files have to say of guest bytes: each leaves what it does not hold to the one
 * below (get_block_status in qemu-img.c).
 */
import { type LayerStatus, statusOf } from './layer-status.js';
import type { OpenedLayer } from './open-image.js';
import { RangeCache } from './range-cache.js';

export interface ChainStatus extends LayerStatus {
  /** Which image says so: 0 is the topmost. */
  readonly depth: number;
  /** Whether that image holds it itself. */
  readonly present: boolean;
}

interface AnsweringLayer {
  readonly size: number;
  readonly answers: RangeCache<LayerStatus>;
}

function laterStatus(status: LayerStatus, bytes: number): LayerStatus {
  const { length, place } = status;
  const later = place && { ...place, offset: place.offset + bytes };
  return { ...status, length: length - bytes, place: later };
}

export class StatusChain {
  readonly #layers: readonly AnsweringLayer[];

  /** @param layers at least one, the topmost first */
  constructor(layers: readonly OpenedLayer[]) {
    this.#layers = layers.map((opened) => ({
      size: opened.layer.size,
      answers: new RangeCache(statusOf(opened, 'zeros', 'together'), laterStatus),
    }));
  }

  /**
   * @param offset guest bytes, below the size of the topmost layer
   * @throws Qcow2cError ERR_CORRUPT, ERR_IO: that cannot be known
   */
  async at(offset: number): Promise<ChainStatus> {
    let length = Number.POSITIVE_INFINITY;
    let depth = 0;
    for (const layer of this.#layers) {
      const status = await layer.answers.at(offset);
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
