/**
 * How much the tables of an image can take that lie in its file side by side. Tables that share their bytes are no
 * image's: a small file would keep its reader busy for years with them. Used by whoever goes through all of them.
 */
import { Qcow2cError, quoted } from '../errors.js';
import type { Storage } from '../storage/storage.js';

/** What damaged tables may share, in bytes: gone through in well under a second. */
const MOST_SHARED = 64 * 1024 * 1024;

export class TableBudget {
  readonly #file: Pick<Storage, 'name'> & { readonly size: number };
  readonly #what: string;
  #left: number;

  /**
   * @param file the image; its size in bytes counts with its holes
   * @param what the tables: "L1 tables of snapshots"
   * @param mostShared bytes that they may share
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
   * To be called before a table is gone through.
   * @param offset of the table in the file, and its length in bytes; what lies past the end of the file is not counted
   * @throws Qcow2cError ERR_CORRUPT when the file cannot hold so many
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
