/**
 * Asks what lies at an offset, and keeps the last answer: whoever goes through several layers side by side asks each
 * for every range of the others, and it would look through its tables again each time, however far its own range
 * reaches.
 */

export class RangeCache<Answer extends { readonly length: number }> {
  readonly #ask: (offset: number) => Promise<Answer>;
  readonly #later: (answer: Answer, bytes: number) => Answer;
  #start = 0;
  #last: Answer | undefined;

  /**
   * @param ask gives the answer from an offset on, in bytes
   * @param later the part of an answer that begins some bytes behind its start
   */
  constructor(ask: (offset: number) => Promise<Answer>, later: (answer: Answer, bytes: number) => Answer) {
    this.#ask = ask;
    this.#later = later;
  }

  /** @throws what asking throws */
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
