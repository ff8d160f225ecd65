/**
 * The block status of an image with its backing files: whether a guest range is allocated, and where it is stored. A
 * range that a layer does not allocate is looked up in the layer below (get_block_status in qemu-img.c).
 */
import { type LayerStatus, statusOf } from './layer-status.js';
import type { OpenedLayer } from './open-image.js';
import { RangeCache } from './range-cache.js';

export interface ChainStatus extends LayerStatus {
  /** The image that allocates the range: 0 is the topmost. */
  readonly depth: number;
  /** Whether this image itself allocates the range. */
  readonly present: boolean;
}

interface AnsweringLayer {
  readonly size: number;
  readonly answers: RangeCache<LayerStatus>;
}

function sliceStatus(status: LayerStatus, bytes: number): LayerStatus {
  const { length, place } = status;
  const rest = place && { ...place, offset: place.offset + bytes };
  return { ...status, length: length - bytes, place: rest };
}

export class StatusChain {
  readonly #layers: readonly AnsweringLayer[];

  /** @param layers at least one, the topmost first */
  constructor(layers: readonly OpenedLayer[]) {
    this.#layers = layers.map((opened) => ({
      size: opened.layer.size,
      answers: new RangeCache(statusOf(opened, 'zeros', 'together'), sliceStatus),
    }));
  }

  /**
   * @param offset guest bytes, below the size of the topmost layer
   * @throws Qcow2cError ERR_CORRUPT or ERR_IO when the status cannot be determined
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
      // The range reads as zeros but is not `present`: an image with a longer backing file could store data there.
      if (below === undefined || offset >= below.size) {
        return { ...status, length, depth: depth - 1, present: false, zero: true };
      }
    }
    throw new RangeError('a chain without layers');
  }
}
