/**
 * An image and its backing files as one source: each layer answers for what it holds and leaves the rest to
 * the one below. Specification: "Backing files".
 */
import { laterPart } from './later-part.js';
import type { Layer, LayerRange, MappedRange, Source } from './source.js';

/**
 * A layer with its last answer. It is asked for every range of the layers below it, and would look through its
 * tables again each time, however far its own range reaches.
 */
class AnsweringLayer {
  readonly layer: Layer;
  #start = 0;
  #range: LayerRange | undefined;

  constructor(layer: Layer) {
    this.layer = layer;
  }

  async map(offset: number): Promise<LayerRange> {
    const into = offset - this.#start;
    if (this.#range !== undefined && into >= 0 && into < this.#range.length) {
      return laterPart(this.#range, into);
    }
    this.#range = await this.layer.map(offset);
    this.#start = offset;
    return this.#range;
  }
}

export class BackingChain implements Source {
  readonly name: string;
  readonly size: number;
  readonly #layers: readonly AnsweringLayer[];

  /** @param layers at least one, the topmost first; closed with the chain */
  constructor(layers: readonly [Layer, ...Layer[]]) {
    this.#layers = layers.map((layer) => new AnsweringLayer(layer));
    this.name = layers[0].name;
    this.size = layers[0].size;
  }

  /** What no layer holds, or lies past the end of the layer that is asked, reads as zeros. */
  async map(offset: number): Promise<MappedRange> {
    let length = this.size - offset;
    for (const answering of this.#layers) {
      if (offset >= answering.layer.size) break;
      const range = await answering.map(offset);
      length = Math.min(length, range.length);
      if (range.kind !== 'unallocated') return range.length === length ? range : { ...range, length };
    }
    return { kind: 'zero', length };
  }

  fileOf(descriptor: number): string | undefined {
    for (const { layer } of this.#layers) {
      const name = layer.fileOf(descriptor);
      if (name !== undefined) return name;
    }
    return undefined;
  }

  async refuseChanges(): Promise<void> {
    for (const { layer } of this.#layers) await layer.refuseChanges();
  }

  async close(): Promise<void> {
    await Promise.all(this.#layers.map(({ layer }) => layer.close()));
  }
}
