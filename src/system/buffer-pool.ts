/**
 * Large pieces of memory that are used again by one run after the other. Left to the garbage collector, they would stay
 * for as long as any thread that has seen them happens not to collect: what threads share counts for none of them.
 */
export class BufferPool<Piece extends { readonly byteLength: number }> {
  readonly #make: (bytes: number) => Piece;
  readonly #free: Piece[] = [];
  readonly #lent = new Set<Piece>();

  /** @param make gives a new piece of at least so many bytes */
  constructor(make: (bytes: number) => Piece) {
    this.#make = make;
  }

  /**
   * @returns a piece of at least `bytes` bytes with whatever its last user left: the smallest that is free, or a new one
   *   in the place of a free one that is too small, so that there are never more than were lent at once
   * @throws what `make` throws
   */
  take(bytes: number): Piece {
    this.#free.sort((a, b) => a.byteLength - b.byteLength);
    const found = this.#free.findIndex(({ byteLength }) => byteLength >= bytes);
    // Where none is large enough, -1 removes the last, which is the largest.
    const [kept] = this.#free.splice(found, 1);
    const piece = found >= 0 && kept !== undefined ? kept : this.#make(bytes);
    this.#lent.add(piece);
    return piece;
  }

  /** Takes back what `take` gave. */
  giveBack(piece: Piece): void {
    if (this.#lent.delete(piece)) this.#free.unshift(piece);
  }

  /** Takes back everything. */
  giveBackAll(): void {
    for (const piece of this.#lent) this.giveBack(piece);
  }
}
