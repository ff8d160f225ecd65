/**
 * Caches the last range that was looked up. A walk over several layers looks up each layer again at every boundary of
 * the others. Without the cache each lookup would search the tables.
 */

export class RangeCache<Answer extends { readonly length: number }> {
  readonly #ask: (offset: number) => Promise<Answer>;
  readonly #later: (answer: Answer, bytes: number) => Answer;
  #start = 0;
  #last: Answer | undefined;

  /**
   * @param ask returns the range at an offset, in bytes
   * @param later returns the rest of a range from some bytes after its start
   */
  constructor(ask: (offset: number) => Promise<Answer>, later: (answer: Answer, bytes: number) => Answer) {
    this.#ask = ask;
    this.#later = later;
  }

  /** @param offset bytes @returns the range from there on @throws any error of `ask` */
  async at(offset: number): Promise<Answer> {
    const into = offset - this.#start;
    if (this.#last !== undefined && into >= 0 && into < this.#last.length) {
      return this.#later(this.#last, into);
    }
    this.#last = await this.#ask(offset);
    this.#start = offset;
    return this.#last;
  }
}
