/**
 * Reads a table of an image that is not trusted, from its first byte to its last, through a small window
 * however long it says it is. Used for the tables whose entries are looked at once: snapshots and bitmaps.
 */
import { internalError, Qcow2cError, quoted } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { type HostOffset, hostOffset } from './addresses.js';

/** Bytes read at once, and the longest part of an entry: a name whose length has 16 bits. */
const WINDOW_BYTES = 65536;

/** Where a table is in its file, in bytes; both are safe integers, and so is their sum. */
export interface TablePlace {
  readonly offset: number;
  /** What the table takes at most. */
  readonly length: number;
}

export class TableReader {
  readonly #file: Pick<Storage, 'name' | 'read'>;
  readonly #what: string;
  readonly #end: number;
  readonly #memory: Uint8Array;
  /** What of the file is in memory. */
  #window: { readonly offset: number; readonly bytes: Uint8Array };
  #offset: number;

  /** @param what names the table in a message: "snapshot table" */
  constructor(file: Pick<Storage, 'name' | 'read'>, what: string, place: TablePlace) {
    this.#file = file;
    this.#what = what;
    this.#offset = place.offset;
    this.#end = place.offset + place.length;
    this.#memory = new Uint8Array(Math.min(WINDOW_BYTES, place.length));
    this.#window = { offset: place.offset, bytes: this.#memory.subarray(0, 0) };
  }

  /** Where in the file the next bytes are. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * The next bytes of the table; they stay as they are until the next call.
   * @param length bytes, at most 65536
   * @throws Qcow2cError ERR_CORRUPT when the table or the file ends before them; ERR_IO
   */
  async take(length: number): Promise<Uint8Array> {
    if (length > WINDOW_BYTES) throw internalError(`${length} bytes of a table at once`);
    const offset = this.#offset;
    this.skip(length);
    if (this.#offset > this.#window.offset + this.#window.bytes.length) await this.#load(offset, length);
    const at = offset - this.#window.offset;
    return this.#window.bytes.subarray(at, at + length);
  }

  /** Passes over the next `length` bytes. @throws Qcow2cError ERR_CORRUPT when the table ends before them */
  skip(length: number): void {
    if (length > this.#end - this.#offset) throw this.#tooShort('table', length, this.#end);
    this.#offset += length;
  }

  /**
   * A field that says where another table of `length` bytes is: aligned to a cluster, its end a safe integer,
   * and not in the first cluster, which is the header's, unless it is empty.
   * @param at where the field is in the file, in bytes
   * @throws Qcow2cError ERR_CORRUPT
   */
  tableOffset(field: string, at: number, value: bigint, length: number, clusterSize: number): HostOffset {
    const offset = Number(value);
    const highest = Number.MAX_SAFE_INTEGER - length;
    if (offset > highest) throw this.corrupt(field, at, `at most ${highest}`, value);
    if (offset % clusterSize !== 0) throw this.corrupt(field, at, `a multiple of ${clusterSize}`, offset);
    if (offset === 0 && length > 0) throw this.corrupt(field, at, `at least ${clusterSize}`, offset);
    return hostOffset(offset);
  }

  /** The error of a field that no image can have so. @param at where it is in the file, in bytes */
  corrupt(field: string, at: number, expected: string, found: number | bigint | string): Qcow2cError {
    return this.#fieldError('ERR_CORRUPT', field, at, expected, found);
  }

  /** The error of a field that the format allows, now or later, but this program does not. */
  unsupported(field: string, at: number, expected: string, found: number | bigint | string): Qcow2cError {
    return this.#fieldError('ERR_UNSUPPORTED', field, at, expected, found);
  }

  async #load(offset: number, length: number): Promise<void> {
    const into = this.#memory.subarray(0, this.#end - offset);
    const bytes = into.subarray(0, await this.#file.read(offset, into));
    if (bytes.length < length) {
      this.#offset = offset;
      throw this.#tooShort('file', length, offset + bytes.length);
    }
    this.#window = { offset, bytes };
  }

  /** @param end where what is too short ends in the file, in bytes */
  #tooShort(what: 'table' | 'file', length: number, end: number): Qcow2cError {
    const { name: file } = this.#file;
    const offset = this.#offset;
    return new Qcow2cError(
      'ERR_CORRUPT',
      `The ${what} ends inside an entry of the ${this.#what} in ${quoted(file)}: ${length} bytes were expected ` +
        `at offset ${offset}, and it ends at ${end}`,
      { file, offset, expected: offset + length, found: end },
    );
  }

  #fieldError(
    code: 'ERR_CORRUPT' | 'ERR_UNSUPPORTED',
    field: string,
    offset: number,
    expected: string,
    value: number | bigint | string,
  ): Qcow2cError {
    const { name: file } = this.#file;
    const found = value.toString();
    const message = `The ${this.#what} in ${quoted(file)} has ${field} ${found} at offset ${offset}, expected ${expected}`;
    return new Qcow2cError(code, message, { file, offset, expected, found });
  }
}
