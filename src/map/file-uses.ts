/** Records the use of each small piece of a file, so that no byte is counted twice. */
import type { Cells } from './cells.js';
import type { FileKind, UsedKind } from './file-kinds.js';
import { USED_KINDS } from './file-kinds.js';

/** Maximum number of pieces in memory, one byte each. A larger file is processed window by window. */
const MOST_PIECES = 2 ** 25;
/** Payloads begin and end anywhere, but their length is known to the sector. */
const SMALLEST_PIECE = 512;

interface Windows {
  /** Bytes of a piece, a power of two: a sector, or more in a large file, up to a cluster. */
  readonly pieceSize: number;
  /** Bytes of a window of the file, a multiple of the cluster size. */
  readonly windowSize: number;
}

/** @param most maximum number of pieces; tests use fewer */
export function windowsOf(fileSize: number, clusterSize: number, most = MOST_PIECES): Windows {
  let pieceSize = SMALLEST_PIECE;
  while (pieceSize < clusterSize && fileSize / pieceSize > most) pieceSize *= 2;
  return { pieceSize, windowSize: Math.max(clusterSize, pieceSize * most) };
}

export class FileUses {
  readonly #from: number;
  readonly #to: number;
  readonly #pieceSize: number;
  /** 0: no known use; otherwise one more than the index in USED_KINDS. */
  readonly #uses: Uint8Array;

  /**
   * @param from the window's first byte, a multiple of a cluster
   * @param to the end of the window or of the file
   */
  constructor(from: number, to: number, pieceSize: number) {
    this.#from = from;
    this.#to = to;
    this.#pieceSize = pieceSize;
    this.#uses = new Uint8Array(Math.max(0, Math.ceil((to - from) / pieceSize)));
  }

  /** Records the use of `length` bytes from `start`, clipped to the window. */
  add(kind: UsedKind, start: number, length: number): void {
    const [first, end] = this.#pieces(start, length);
    if (first < end) this.#uses.fill(codeOf(kind), first, end);
  }

  /** The same, only for pieces without a known use. */
  addToFree(kind: UsedKind, start: number, length: number): void {
    const [first, end] = this.#pieces(start, length);
    const code = codeOf(kind);
    for (let piece = first; piece < end; piece += 1) {
      if (this.#uses[piece] === 0) this.#uses[piece] = code;
    }
  }

  /** Whether no piece of these bytes has a known use. */
  isFree(start: number, length: number): boolean {
    const [first, end] = this.#pieces(start, length);
    for (let piece = first; piece < end; piece += 1) if (this.#uses[piece] !== 0) return false;
    return true;
  }

  /** Adds the uses to the cells of the file. */
  addTo(cells: Cells<FileKind>): void {
    const count = this.#uses.length;
    for (let first = 0; first < count; ) {
      const code = this.#uses[first] ?? 0;
      let end = first + 1;
      while (end < count && this.#uses[end] === code) end += 1;
      const kind = USED_KINDS[code - 1];
      const start = this.#from + first * this.#pieceSize;
      if (kind !== undefined) cells.add(kind, start, this.#from + end * this.#pieceSize - start);
      first = end;
    }
  }

  /** The pieces that a range touches, from the first to the end. */
  #pieces(start: number, length: number): [number, number] {
    const first = Math.max(start, this.#from) - this.#from;
    const end = Math.min(start + length, this.#to) - this.#from;
    return [Math.floor(first / this.#pieceSize), Math.ceil(end / this.#pieceSize)];
  }
}

function codeOf(kind: UsedKind): number {
  return USED_KINDS.indexOf(kind) + 1;
}
