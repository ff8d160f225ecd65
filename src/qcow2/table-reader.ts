/**
 * Reads an untrusted table of any length from its first byte to its last through a small window. Used for tables whose
 * entries are read once: snapshots and bitmaps.
 */
import { internalError, Qcow2cError, quoted } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { type HostOffset, hostOffset } from './addresses.js';

/** Bytes read at once, and the longest part of an entry: a name with a 16-bit length. */
const WINDOW_BYTES = 65536;

/** Offset and length of a table in bytes. Both are safe integers, and so is their sum. */
interface TablePlace {
  readonly offset: number;
  /** Most bytes of the table. */
  readonly length: number;
}

export class TableReader {
  readonly #file: Pick<Storage, 'name' | 'read'>;
  readonly #what: string;
  readonly #end: number;
  readonly #memory: Uint8Array;
  /** The part of the file in memory. */
  #window: { readonly offset: number; readonly bytes: Uint8Array };
  #offset: number;

  /** @param what the table, for messages: "snapshot table" */
  constructor(file: Pick<Storage, 'name' | 'read'>, what: string, place: TablePlace) {
    this.#file = file;
    this.#what = what;
    this.#offset = place.offset;
    this.#end = place.offset + place.length;
    this.#memory = new Uint8Array(Math.min(WINDOW_BYTES, place.length));
    this.#window = { offset: place.offset, bytes: this.#memory.subarray(0, 0) };
  }

  /** Offset of the next bytes in the file. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Returns the next bytes of the table; they are valid until the next call.
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

  /** Skips the next `length` bytes. @throws Qcow2cError ERR_CORRUPT when the table ends before them */
  skip(length: number): void {
    if (length > this.#end - this.#offset) throw this.#tooShort('table', length, this.#end);
    this.#offset += length;
  }

  /**
   * Checks the offset of another table of `length` bytes: aligned to a cluster, with a safe integer as its end, and
   * outside the first cluster unless the table is empty.
   * @param at offset of the field in the file, in bytes
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

  /** Makes the error for a value that is invalid in any image. @param at offset of the field in the file, in bytes */
  corrupt(field: string, at: number, expected: string, found: number | bigint | string): Qcow2cError {
    return this.#fieldError('ERR_CORRUPT', field, at, expected, found);
  }

  /** Makes the error for a value that the format, or a later version of it, allows and qcow2c does not support. */
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

  /** @param end offset in the file where the table or file ends, in bytes */
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
