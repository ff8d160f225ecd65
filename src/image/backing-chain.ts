/**
 * An image and its backing files as one source. A range that a layer does not allocate is read from the layer below.
 * Specification: "Backing files".
 */
import { RangeCache } from './range-cache.js';
import { sliceRange } from './range-slice.js';
import type { Layer, LayerRange, MappedRange, Source } from './source.js';

export class BackingChain implements Source {
  readonly name: string;
  readonly size: number;
  readonly #layers: readonly { readonly layer: Layer; readonly answers: RangeCache<LayerRange> }[];

  /** @param layers at least one, the topmost first; closed with the chain */
  constructor(layers: readonly [Layer, ...Layer[]]) {
    this.#layers = layers.map((layer) => {
      return { layer, answers: new RangeCache((offset) => layer.map(offset), sliceRange) };
    });
    this.name = layers[0].name;
    this.size = layers[0].size;
  }

  /** Maps to zeros ranges that no layer allocates, and ranges past the end of a shorter backing file. */
  async map(offset: number): Promise<MappedRange> {
    let length = this.size - offset;
    for (const { layer, answers } of this.#layers) {
      if (offset >= layer.size) break;
      const range = await answers.at(offset);
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
