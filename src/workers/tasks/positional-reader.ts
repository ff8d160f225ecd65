/**
 * Positional reads on shared descriptors. Offset, length and address of every read are aligned, as O_DIRECT requires;
 * unaligned requests go through a bounce buffer.
 */
import { roundDown, roundUp } from '../../arithmetic.js';
import { NbdFailure } from '../../nbd/nbd-failure.js';
import { isExportNumber } from '../../nbd/open-exports.js';
import { ReadError, readFullySync } from '../../system/read-fully.js';
import { ItemError } from '../item-failure.js';
import { readExport } from './thread-exports.js';
import { threadMemory } from './thread-memory.js';

export class PositionalReader {
  readonly #alignment: number;
  #bounce: Uint8Array = new Uint8Array(0);

  /** @param alignment of offset, length and address of every read, in bytes */
  constructor(alignment: number) {
    this.#alignment = alignment;
  }

  /**
   * Fills all of `into`, without a copy where everything is aligned.
   * @param offset bytes in the file
   * @throws ItemError when a read fails or the file ends earlier
   */
  readInto(descriptor: number, offset: number, into: Uint8Array): void {
    const expected = into.length;
    const isAligned = [offset, expected, into.byteOffset].every((value) => value % this.#alignment === 0);
    let found: number;
    if (isAligned) {
      found = this.#fill(descriptor, offset, into, expected);
    } else {
      const bounced = this.read(descriptor, offset, expected);
      into.set(bounced.bytes);
      found = bounced.found;
    }
    if (found < expected) throw new ItemError({ kind: 'short', descriptor, offset, expected, found });
  }

  /**
   * Reads up to the end of the file.
   * @param offset bytes in the file
   * @returns `length` bytes, valid until the next call: `found` bytes of the file, then zeros
   * @throws ItemError when a read fails
   */
  read(descriptor: number, offset: number, length: number): { bytes: Uint8Array; found: number } {
    const from = roundDown(offset, this.#alignment);
    const skip = offset - from;
    const room = roundUp(skip + length, this.#alignment);
    if (this.#bounce.length < room) this.#bounce = threadMemory.take(room);
    const read = this.#fill(descriptor, from, this.#bounce.subarray(0, room), skip + length);
    const found = Math.min(length, Math.max(0, read - skip));
    const bytes = this.#bounce.subarray(skip, skip + length);
    bytes.fill(0, found);
    return { bytes, found };
  }

  /** Reads until `needed` bytes are read or the file ends. @returns bytes read */
  #fill(descriptor: number, offset: number, into: Uint8Array, needed: number): number {
    try {
      if (isExportNumber(descriptor)) return readExport(descriptor, into.subarray(0, needed), offset);
      return readFullySync(descriptor, into, offset, this.#alignment, needed);
    } catch (error) {
      if (error instanceof NbdFailure) {
        const { kind, errno, code, message, isFileLost } = error;
        const file = kind === 'changed' ? 'changed' : 'lost';
        const failure = { kind: 'read', descriptor, offset, errno, code, message } as const;
        throw new ItemError(isFileLost ? { ...failure, file } : failure);
      }
      if (!(error instanceof ReadError)) throw error;
      const { errno, code, message } = error.cause;
      throw new ItemError({ kind: 'read', descriptor, offset: offset + error.done, errno, code, message });
    }
  }
}
