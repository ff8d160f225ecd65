/**
 * Reads fields of an untrusted header and checks their bounds. The error of an invalid field names the file, the field,
 * its offset, and the expected and the found value.
 */
import { Qcow2cError, quoted } from '../errors.js';
import { type HostOffset, hostOffset } from './addresses.js';
import { readU32, readU64 } from './be64.js';

export class HeaderFields {
  readonly file: string;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, file: string) {
    this.file = file;
    this.#bytes = bytes;
  }

  /** @throws Qcow2cError ERR_CORRUPT when fewer than `length` bytes are there */
  need(length: number): void {
    const found = this.#bytes.length;
    if (found < length) throw this.corrupt('length', 0, `at least ${length}`, found);
  }

  /** A 32-bit field whose value is from `lowest` to `highest`. @throws Qcow2cError ERR_CORRUPT */
  u32(field: string, at: number, lowest: number, highest: number): number {
    const value = readU32(this.#bytes, at);
    if (value < lowest || value > highest) throw this.corrupt(field, at, `${lowest} to ${highest}`, value);
    return value;
  }

  /** A 64-bit field of any value up to `highest`, a safe integer. @throws Qcow2cError ERR_CORRUPT */
  u64(field: string, at: number, highest: number): number {
    const value = readU64(this.#bytes, at);
    if (value > highest) throw this.corrupt(field, at, `at most ${highest}`, value);
    return Number(value);
  }

  /**
   * Reads the offset of a table of `length` bytes: aligned to a cluster, with a safe integer as its end, and outside
   * the first cluster unless the table is empty.
   * @throws Qcow2cError ERR_CORRUPT
   */
  tableOffset(field: string, at: number, length: number, clusterSize: number): HostOffset {
    const offset = this.u64(field, at, Number.MAX_SAFE_INTEGER - length);
    if (offset % clusterSize !== 0) throw this.corrupt(field, at, `a multiple of ${clusterSize}`, offset);
    if (offset === 0 && length > 0) throw this.corrupt(field, at, `at least ${clusterSize}`, offset);
    return hostOffset(offset);
  }

  /** Makes the error for a value that is invalid in any image. */
  corrupt(field: string, at: number, expected: string, found: number | bigint): Qcow2cError {
    return this.#error('ERR_CORRUPT', field, at, expected, found);
  }

  /** Makes the error for a value that a later version of the format may allow. */
  unsupported(field: string, at: number, expected: string, found: number | bigint): Qcow2cError {
    return this.#error('ERR_UNSUPPORTED', field, at, expected, found);
  }

  #error(
    code: 'ERR_CORRUPT' | 'ERR_UNSUPPORTED',
    field: string,
    offset: number,
    expected: string,
    value: number | bigint,
  ): Qcow2cError {
    const found = value.toString();
    const message = `The qcow2 header of ${quoted(this.file)} has ${field} ${found} at offset ${offset}, expected ${expected}`;
    return new Qcow2cError(code, message, { file: this.file, offset, expected, found });
  }
}
