/**
 * Large buffers that successive runs reuse. The garbage collector would free shared memory late: only once all threads
 * that have seen it collect, and its size does not make them collect sooner.
 */
export class BufferPool<Piece extends { readonly byteLength: number }> {
  readonly #make: (bytes: number) => Piece;
  readonly #free: Piece[] = [];
  readonly #lent = new Set<Piece>();

  /** @param make allocates a buffer of at least this many bytes */
  constructor(make: (bytes: number) => Piece) {
    this.#make = make;
  }

  /**
   * @returns a buffer of at least `bytes` bytes with the bytes of its last use: the smallest free one that is large
   *   enough. If there is none, a new one replaces a free one, so there are never more buffers than were lent at once
   * @throws errors of `make`
   */
  take(bytes: number): Piece {
    this.#free.sort((a, b) => a.byteLength - b.byteLength);
    const found = this.#free.findIndex(({ byteLength }) => byteLength >= bytes);
    // If no buffer is large enough, -1 removes the last one, which is the largest.
    const [kept] = this.#free.splice(found, 1);
    const piece = found >= 0 && kept !== undefined ? kept : this.#make(bytes);
    this.#lent.add(piece);
    return piece;
  }

  /** Returns a buffer that `take` lent. */
  giveBack(piece: Piece): void {
    if (this.#lent.delete(piece)) this.#free.unshift(piece);
  }

  /** Returns all buffers. */
  giveBackAll(): void {
    for (const piece of this.#lent) this.giveBack(piece);
  }
}
