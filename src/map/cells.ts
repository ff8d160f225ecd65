/**
 * Divides an address space of any size into a limited number of cells and sums each kind in every cell. A picture is
 * drawn from the cells.
 */

/** Cells in a row. */
export const COLUMNS = 128;
/** Maximum number of rows. */
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
   * @param from the first byte to show
   * @param to the end, in bytes
   * @param smallest minimum bytes of a cell, a power of two
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

  /** Bytes of the address space in a cell: every cell but the last is full. */
  bytesIn(cell: number): number {
    return Math.min(this.cellSize, this.to - this.from - cell * this.cellSize);
  }

  /**
   * Adds a range of one kind, clipped to the cells.
   * @param start in bytes, and `length` bytes from there
   * @param amount the amount to spread evenly over the range; default: its bytes
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

  /** The amount of a kind in a cell. */
  of(kind: Kind, cell: number): number {
    return this.#amounts.get(kind)?.[cell] ?? 0;
  }

  /** The amount of a kind in all cells. */
  total(kind: Kind): number {
    return this.#amounts.get(kind)?.reduce((sum, amount) => sum + amount, 0) ?? 0;
  }
}
