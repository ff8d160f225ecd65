/**
 * An address space of any size as a limited number of cells, each with how much of every kind is in it: what a
 * picture is drawn from.
 */

/** Cells side by side. */
export const COLUMNS = 128;
/** Rows at most. */
const ROWS = 32;

export class Cells<Kind extends string> {
  /** The bytes covered: `from` is a multiple of the cell size, `to` the end of the address space. */
  readonly from: number;
  readonly to: number;
  /** Bytes, a power of two. */
  readonly cellSize: number;
  readonly count: number;
  readonly #amounts = new Map<Kind, Float64Array>();

  /**
   * @param from the first byte that is to be seen
   * @param to the end, in bytes
   * @param smallest bytes of a cell at least, a power of two
   */
  constructor(from: number, to: number, smallest: number) {
    let cellSize = smallest;
    const cellsOf = () => Math.ceil(to / cellSize) - Math.floor(from / cellSize);
    while (cellsOf() > COLUMNS * ROWS) cellSize *= 2;
    this.cellSize = cellSize;
    this.from = Math.floor(from / cellSize) * cellSize;
    this.to = to;
    this.count = Math.max(0, cellsOf());
  }

  /** Bytes of the address space that are in a cell: all but the last are full. */
  bytesIn(cell: number): number {
    return Math.min(this.cellSize, this.to - this.from - cell * this.cellSize);
  }

  /**
   * Puts a range of one kind in, as far as it lies in the cells.
   * @param start in bytes, and `length` bytes from there
   * @param amount what is spread evenly over the range; default: its bytes
   */
  add(kind: Kind, start: number, length: number, amount = length): void {
    const end = Math.min(start + length, this.to);
    let cell = Math.floor((Math.max(start, this.from) - this.from) / this.cellSize);
    for (let at = Math.max(start, this.from); at < end; cell += 1) {
      const next = Math.min(end, this.from + (cell + 1) * this.cellSize);
      this.addTo(cell, kind, (amount * (next - at)) / length);
      at = next;
    }
  }

  addTo(cell: number, kind: Kind, amount: number): void {
    let amounts = this.#amounts.get(kind);
    if (amounts === undefined) {
      amounts = new Float64Array(this.count);
      this.#amounts.set(kind, amounts);
    }
    amounts[cell] = (amounts[cell] ?? 0) + amount;
  }

  /** How much of a kind is in a cell. */
  of(kind: Kind, cell: number): number {
    return this.#amounts.get(kind)?.[cell] ?? 0;
  }

  /** How much of a kind is in all cells. */
  total(kind: Kind): number {
    return this.#amounts.get(kind)?.reduce((sum, amount) => sum + amount, 0) ?? 0;
  }
}
