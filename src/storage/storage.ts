/** The interface of every file that the writers of images write to. */
import { ioError, type Qcow2cError, quoted } from '../errors.js';

/** The content of a write: bytes of guest clusters and bitmaps, or the header and tables, which lead to them. */
export type WriteKind = 'data' | 'tables';

/**
 * The operations that the writer and the compressed write cache need of the file below them: four, with absolute
 * offsets. Implemented by the target file, the overlap guard and the tests.
 */
export interface Storage {
  /** The name for messages. */
  readonly name: string;
  /**
   * Offset, length and memory address of every write must be multiples of this many bytes (a power of two; 1: no
   * restriction). Read it before each write, because a fallback to buffered I/O changes it. Only a write that ends with
   * a device's last sector may be shorter.
   */
  readonly alignment: number;
  /**
   * Writes the buffers in order from `offset` (bytes).
   * @param kind default: data. Only a storage that writes an image in order uses it
   * @throws Qcow2cError ERR_IO, naming offset and length, unless every byte was written; any part may be written then
   */
  write(offset: number, buffers: readonly Uint8Array[], kind?: WriteKind): Promise<void>;
  /**
   * Fills `into` from `offset` (bytes); both are multiples of `alignment`.
   * @returns bytes read; fewer than requested only at the end of the file
   */
  read(offset: number, into: Uint8Array): Promise<number>;
  /** Makes everything written before the call durable (fdatasync). */
  sync(): Promise<void>;
}

/** A storage that can free space: the target of a raw disk. */
export interface SparseStorage extends Storage {
  /**
   * Makes a range read as zeros without writing it. Offset and length in bytes, multiples of 4096.
   * @returns false if the system refuses; any part of the range may be unchanged then
   */
  punch(offset: number, length: number): Promise<boolean>;
}

/** @returns the error of a write past the end of a device or an export; sizes and offsets in bytes */
export function pastCapacity(
  name: string,
  capacity: number,
  offset: number,
  length: number,
  cause: unknown,
): Qcow2cError {
  const expected = offset + length;
  const what =
    `${quoted(name)} is too small: it has ${capacity} bytes, and at least ${expected} are needed; ` +
    `could not write ${length} bytes at offset ${offset}`;
  return ioError(what, cause, { file: name, offset, expected, found: capacity });
}
