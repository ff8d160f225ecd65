/**
 * What the writer and the compressed write cache need of the file below them, and no more: four
 * operations on absolute offsets. Implemented by the target file, the overlap guard and the tests.
 */
export interface Storage {
  /** The name for messages. */
  readonly name: string;
  /**
   * Every write's offset, length and memory address must be a multiple of this many bytes (a power of
   * two; 1 when anything goes). Ask each time: a fallback to buffered I/O changes it. Only a write that
   * ends with a device's last sector may be shorter.
   */
  readonly alignment: number;
  /**
   * Writes the buffers one after the other from `offset` (bytes).
   * @throws Qcow2cError ERR_IO, naming offset and length, when not every byte reached the descriptor; then
   *   any part may have
   */
  write(offset: number, buffers: readonly Uint8Array[]): Promise<void>;
  /**
   * Fills `into` from `offset` (bytes); both obey `alignment`.
   * @returns how many bytes the file had there; fewer than asked only at its end.
   */
  read(offset: number, into: Uint8Array): Promise<number>;
  /** Makes everything written before the call durable (fdatasync). */
  sync(): Promise<void>;
}

/** A storage that can give back space: what a raw disk is written to. */
export interface SparseStorage extends Storage {
  /**
   * Makes a range read as zeros without writing it. Offset and length in bytes, multiples of 4096.
   * @returns false when the system refuses; then any part of the range may hold what it held
   */
  punch(offset: number, length: number): Promise<boolean>;
}
