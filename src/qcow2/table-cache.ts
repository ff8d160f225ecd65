/**
 * The tables of an image that is read, in pieces: the most recently used ones stay in memory, as many as fit,
 * however large the tables are. Used by the cluster map.
 */
import { Qcow2cError, quoted } from '../errors.js';
import type { Storage } from '../storage/storage.js';

/** Bytes of a piece: the L2 entries of 512 MiB at the usual cluster size. */
const PIECE_BYTES = 65536;
/** A reader that goes ahead needs one of the L1 and one of an L2 table; a chain has as many for each image. */
const MOST_PIECES = 4;

/** A part of the file in memory. */
export interface TablePiece {
  /** Where it begins in the file, in bytes. */
  readonly offset: number;
  /** What the file has there; shorter than a piece at its end. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export class TableCache {
  readonly #file: Pick<Storage, 'name' | 'read'>;
  /** By index of the piece in the file; the least recently used comes first. */
  readonly #pieces = new Map<number, TablePiece>();
  #last: { readonly index: number; readonly piece: TablePiece } | undefined;

  constructor(file: Pick<Storage, 'name' | 'read'>) {
    this.#file = file;
  }

  /**
   * @param offset of an entry in the file, in bytes, a multiple of its length
   * @param length of the entry in bytes, a divisor of a piece
   * @returns the piece that holds the entry
   * @throws Qcow2cError ERR_CORRUPT when the file ends before the entry does; ERR_IO
   */
  async pieceWith(offset: number, length: number): Promise<TablePiece> {
    const index = Math.floor(offset / PIECE_BYTES);
    const piece = this.#last?.index === index ? this.#last.piece : await this.#load(index);
    if (offset - piece.offset + length > piece.bytes.length) {
      const { name: file } = this.#file;
      const found = piece.offset + piece.bytes.length;
      throw new Qcow2cError(
        'ERR_CORRUPT',
        `${quoted(file)} has a table that lies past its end: ${length} bytes were expected at offset ${offset}`,
        { file, offset, expected: offset + length, found },
      );
    }
    return piece;
  }

  async #load(index: number): Promise<TablePiece> {
    let piece = this.#pieces.get(index);
    if (piece === undefined) {
      const [oldest = -1] = this.#pieces.keys();
      if (this.#pieces.size === MOST_PIECES) this.#pieces.delete(oldest);
      const memory = new Uint8Array(PIECE_BYTES);
      const offset = index * PIECE_BYTES;
      const bytes = memory.subarray(0, await this.#file.read(offset, memory));
      piece = { offset, bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
    } else {
      this.#pieces.delete(index);
    }
    this.#pieces.set(index, piece);
    this.#last = { index, piece };
    return piece;
  }
}
