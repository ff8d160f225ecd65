/**
 * Caches the last range that was looked up. A walk over several layers looks up each layer again at every boundary of
 * the others. Without the cache each lookup would search the tables.
 */

export class RangeCache<Range extends { readonly length: number }> {
  readonly #ask: (offset: number) => Promise<Range>;
  readonly #slice: (range: Range, bytes: number) => Range;
  #start = 0;
  #last: Range | undefined;

  /**
   * @param ask returns the range at an offset, in bytes
   * @param slice returns the rest of a range from some bytes after its start
   */
  constructor(ask: (offset: number) => Promise<Range>, slice: (range: Range, bytes: number) => Range) {
    this.#ask = ask;
    this.#slice = slice;
  }

  /** @param offset bytes @returns the range from there on @throws any error of `ask` */
  async at(offset: number): Promise<Range> {
    const into = offset - this.#start;
    if (this.#last !== undefined && into >= 0 && into < this.#last.length) {
      return this.#slice(this.#last, into);
    }
    this.#last = await this.#ask(offset);
    this.#start = offset;
    return this.#last;
  }
}
