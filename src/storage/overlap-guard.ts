/**
 * The last check before the descriptor: payload never overwrites a table or the space reserved for one, and a table
 * never overwrites another. All writes of a conversion pass through it. The rule is that of QEMU's
 * qcow2_pre_write_overlap_check.
 */
import { internalError } from '../errors.js';
import { SortedRanges } from './sorted-ranges.js';
import type { Storage } from './storage.js';

/** A part of the file, in bytes. */
export interface FileRange {
  readonly offset: number;
  readonly length: number;
}

export class OverlapGuard implements Storage {
  readonly #storage: Storage;
  readonly #headerSize: number;
  /** The parts reserved for tables, including the header. */
  readonly #tables = new SortedRanges();
  /** The reserved parts that are written. */
  readonly #written = new SortedRanges();

  /**
   * @param storage receives the bytes
   * @param headerSize bytes at the start of the file that belong to the header
   */
  constructor(storage: Storage, headerSize: number) {
    this.#storage = storage;
    this.#headerSize = headerSize;
    this.#tables.add(0, headerSize);
    this.#written.add(0, headerSize);
  }

  get name(): string {
    return this.#storage.name;
  }

  get alignment(): number {
    return this.#storage.alignment;
  }

  /**
   * Writes payload.
   * @throws Qcow2cError ERR_INTERNAL, before writing, if it would touch a table
   */
  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    const length = lengthOf(buffers);
    if (this.#tables.intersects(offset, offset + length)) {
      throw internalError(`a write of ${length} bytes at offset ${offset} would overwrite a table`, {
        file: this.name,
        offset,
      });
    }
    await this.#storage.write(offset, buffers);
  }

  /**
   * Reserves a part of the file for tables: from now on no payload is written there. Offset and length in bytes.
   * @throws Qcow2cError ERR_INTERNAL if part of it is reserved already
   */
  reserve(offset: number, length: number): void {
    this.#tables.add(offset, offset + length);
  }

  /**
   * Writes tables into a reserved part of the file, once.
   * @throws Qcow2cError ERR_INTERNAL, before writing, if the range is not reserved or partly written already
   */
  async writeTables(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    const end = offset + lengthOf(buffers);
    if (!this.#tables.covers(offset, end)) {
      throw internalError(`tables at offset ${offset} outside of the space reserved for tables`, {
        file: this.name,
        offset,
      });
    }
    this.#written.add(offset, end);
    await this.#storage.write(offset, buffers, 'tables');
  }

  /**
   * Protects used parts of the file: from now on neither payload nor tables are written there.
   * @throws Qcow2cError ERR_INTERNAL if one of them is protected already
   */
  protect(ranges: Iterable<FileRange>): void {
    for (const { offset, length } of ranges) {
      this.reserve(offset, length);
      this.#written.add(offset, offset + length);
    }
  }

  /**
   * Writes the header at the start of the file. No other table may be written more than once.
   * @throws Qcow2cError ERR_INTERNAL, before writing, if it is longer than its reserved part
   */
  async writeHeader(buffers: readonly Uint8Array[]): Promise<void> {
    if (lengthOf(buffers) > this.#headerSize)
      throw internalError('the header is longer than its reserved space');
    await this.#storage.write(0, buffers, 'tables');
  }

  read(offset: number, into: Uint8Array): Promise<number> {
    return this.#storage.read(offset, into);
  }

  sync(): Promise<void> {
    return this.#storage.sync();
  }
}

function lengthOf(buffers: readonly Uint8Array[]): number {
  return buffers.reduce((sum, buffer) => sum + buffer.length, 0);
}
