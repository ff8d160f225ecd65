/**
 * The last gate before the descriptor: payload never lands on a table, and no table on another. All
 * writes of a conversion pass here, whoever makes them. Rule: QEMU's qcow2_pre_write_overlap_check.
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
  readonly #reserved: number;
  readonly #tables = new SortedRanges();

  /**
   * @param storage where the bytes go
   * @param reserved bytes at the start of the file that belong to the header
   */
  constructor(storage: Storage, reserved: number) {
    this.#storage = storage;
    this.#reserved = reserved;
    this.#tables.add(0, reserved);
  }

  get name(): string {
    return this.#storage.name;
  }

  get alignment(): number {
    return this.#storage.alignment;
  }

  /**
   * Writes payload.
   * @throws Qcow2cError ERR_INTERNAL, before anything is written, when it would touch a table
   */
  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    this.#refuseOverlap(offset, lengthOf(buffers));
    await this.#storage.write(offset, buffers);
  }

  /**
   * Writes a run that holds tables, and from now on protects these.
   * @param tables the parts of the run (absolute offsets) that are tables; the rest is payload
   * @throws Qcow2cError ERR_INTERNAL, before anything is written, when the run would touch a table, or a
   *   table lies outside the run or on another
   */
  async writeTables(
    offset: number,
    buffers: readonly Uint8Array[],
    tables: readonly FileRange[],
  ): Promise<void> {
    const end = offset + lengthOf(buffers);
    this.#refuseOverlap(offset, end - offset);
    for (const table of tables) {
      if (table.offset < offset || table.offset + table.length > end) {
        throw internalError(`a table at offset ${table.offset} lies outside the write at offset ${offset}`);
      }
      this.#tables.add(table.offset, table.offset + table.length);
    }
    await this.#storage.write(offset, buffers);
  }

  /**
   * Protects parts of the file that hold something already, from now on.
   * @throws Qcow2cError ERR_INTERNAL when one of them is protected already
   */
  protect(ranges: Iterable<FileRange>): void {
    for (const { offset, length } of ranges) this.#tables.add(offset, offset + length);
  }

  /**
   * Writes the header at the start of the file: the only table that may be written more than once.
   * @throws Qcow2cError ERR_INTERNAL, before anything is written, when it is longer than its place
   */
  async writeHeader(buffers: readonly Uint8Array[]): Promise<void> {
    if (lengthOf(buffers) > this.#reserved) throw internalError('the header is longer than its place');
    await this.#storage.write(0, buffers);
  }

  read(offset: number, into: Uint8Array): Promise<number> {
    return this.#storage.read(offset, into);
  }

  sync(): Promise<void> {
    return this.#storage.sync();
  }

  #refuseOverlap(offset: number, length: number): void {
    if (this.#tables.intersects(offset, offset + length)) {
      throw internalError(`a write of ${length} bytes at offset ${offset} would overwrite a table`, {
        file: this.name,
        offset,
      });
    }
  }
}

function lengthOf(buffers: readonly Uint8Array[]): number {
  return buffers.reduce((sum, buffer) => sum + buffer.length, 0);
}
