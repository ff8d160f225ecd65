/**
 * Caches the tables of an image in pieces. The most recently used pieces stay in memory, up to a limit.
 */
import { Qcow2cError, quoted } from '../errors.js';
import type { Storage } from '../storage/storage.js';

/** Bytes of a piece: the L2 entries of 512 MiB at the usual cluster size. */
const PIECE_BYTES = 65536;
/** A sequential reader needs a piece of the L1 table and one of an L2 table. Each image of a chain has a cache. */
const MOST_PIECES = 4;

/** Consecutive entries of a table in memory. */
export interface TableEntries {
  readonly view: DataView;
  /** Offset of the first entry in the view, in bytes. */
  readonly at: number;
  /** At least one. */
  readonly count: number;
}

interface Piece {
  /** Index among all pieces of the file. */
  readonly index: number;
  /** The bytes of the piece; shorter at the end of the file, unless zeros follow. */
  readonly view: DataView;
}

/**
 * Counts the entries that one read covers, from a given one on. If the read fails, all of them are unknown.
 * @param offset of the first one in the file, in bytes
 * @param length of an entry in bytes
 */
export function entriesTogether(offset: number, length: number): number {
  return (PIECE_BYTES - (offset % PIECE_BYTES)) / length;
}

/** How entries past the end of the file are handled; QEMU reads zeros. */
export type PastEndRule = 'refused' | 'zeros';

export class TableCache {
  readonly #file: Pick<Storage, 'name' | 'read'>;
  /** By index; the least recently used piece comes first. */
  readonly #pieces = new Map<number, Piece>();
  #last: Piece | undefined;
  readonly #pastEnd: PastEndRule;

  constructor(file: Pick<Storage, 'name' | 'read'>, pastEnd: PastEndRule = 'refused') {
    this.#file = file;
    this.#pastEnd = pastEnd;
  }

  /**
   * @param offset of an entry in the file, in bytes, a multiple of its length
   * @param length of the entry in bytes, a divisor of a piece
   * @returns that entry and the following ones that are read with it
   * @throws Qcow2cError ERR_CORRUPT when the file ends before the entry does and zeros are not allowed; ERR_IO
   */
  async entriesFrom(offset: number, length: number): Promise<TableEntries> {
    const index = Math.floor(offset / PIECE_BYTES);
    const { view } = this.#last?.index === index ? this.#last : await this.#load(index);
    const at = offset - index * PIECE_BYTES;
    const count = Math.floor((view.byteLength - at) / length);
    if (count < 1) {
      const { name: file } = this.#file;
      const found = index * PIECE_BYTES + view.byteLength;
      throw new Qcow2cError(
        'ERR_CORRUPT',
        `${quoted(file)} has a table past its end: ${length} bytes were expected at offset ${offset}`,
        { file, offset, expected: offset + length, found },
      );
    }
    return { view, at, count };
  }

  async #load(index: number): Promise<Piece> {
    let piece = this.#pieces.get(index);
    if (piece === undefined) {
      const memory = new Uint8Array(PIECE_BYTES);
      const length = await this.#file.read(index * PIECE_BYTES, memory);
      const known = this.#pastEnd === 'zeros' ? PIECE_BYTES : length;
      piece = { index, view: new DataView(memory.buffer, 0, known) };
      const [oldest] = this.#pieces.keys();
      if (this.#pieces.size === MOST_PIECES && oldest !== undefined) this.#pieces.delete(oldest);
    } else {
      this.#pieces.delete(index);
    }
    this.#pieces.set(index, piece);
    this.#last = piece;
    return piece;
  }
}
