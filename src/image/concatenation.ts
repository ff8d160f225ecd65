/**
 * Joins several sources end to end. Each source begins where the one before it ends, at a multiple of a sector.
 */
import { internalError } from '../errors.js';
import type { MappedRange, Source } from './source.js';

export class Concatenation implements Source {
  readonly name: string;
  readonly size: number;
  readonly #parts: readonly { readonly source: Source; readonly start: number }[];

  /** @param sources at least one; closing the concatenation closes them */
  constructor(sources: readonly Source[]) {
    let start = 0;
    this.#parts = sources.map((source) => {
      const part = { source, start };
      start += source.size;
      return part;
    });
    this.size = start;
    this.name = sources.map(({ name }) => name).join(' + ');
  }

  map(offset: number): Promise<MappedRange> {
    const part = this.#parts.find(({ source, start }) => offset >= start && offset < start + source.size);
    if (part === undefined) throw internalError(`no source holds offset ${offset}`);
    return part.source.map(offset - part.start);
  }

  fileOf(descriptor: number): string | undefined {
    return this.#parts.map(({ source }) => source.fileOf(descriptor)).find((name) => name !== undefined);
  }

  async refuseChanges(): Promise<void> {
    for (const { source } of this.#parts) await source.refuseChanges();
  }

  async close(): Promise<void> {
    await Promise.all(this.#parts.map(({ source }) => source.close()));
  }
}
