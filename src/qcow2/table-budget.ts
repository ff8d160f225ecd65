/**
 * Bounds the total size of an image's tables by the length of its file. Valid tables do not overlap. Without a bound, a
 * small file with overlapping tables could keep a reader busy for years. Used where all tables of a kind are read.
 */
import { Qcow2cError, quoted } from '../errors.js';
import type { Storage } from '../storage/storage.js';

/** Bytes by which damaged tables may overlap. Reading them takes much less than a second. */
const MOST_SHARED = 64 * 1024 * 1024;

export class TableBudget {
  readonly #file: Pick<Storage, 'name'> & { readonly size: number };
  readonly #what: string;
  #left: number;

  /**
   * @param file the image; its size in bytes includes holes
   * @param what the tables, for the message: "L1 tables of snapshots"
   * @param mostShared bytes by which they may overlap
   */
  constructor(
    file: Pick<Storage, 'name'> & { readonly size: number },
    what: string,
    mostShared = MOST_SHARED,
  ) {
    this.#file = file;
    this.#what = what;
    this.#left = file.size + mostShared;
  }

  /**
   * Call it before a table is read.
   * @param offset of the table in the file, in bytes
   * @param length of the table in bytes; bytes past the end of the file do not count
   * @throws Qcow2cError ERR_CORRUPT when the file cannot hold so many tables
   */
  take(offset: number, length: number): void {
    const { name: file, size } = this.#file;
    this.#left -= Math.max(0, Math.min(length, size - offset));
    if (this.#left >= 0) return;
    throw new Qcow2cError(
      'ERR_CORRUPT',
      `The ${this.#what} in ${quoted(file)} share their bytes: the file is ${size} bytes long and cannot hold all of them`,
      { file, offset, found: size },
    );
  }
}
