/**
 * Positional reads on shared descriptors. Offset, length and address of every read are aligned, as O_DIRECT requires;
 * unaligned requests go through a bounce buffer.
 */
import { roundDown, roundUp } from '../../arithmetic.js';
import { NbdFailure } from '../../nbd/nbd-failure.js';
import { isExportNumber } from '../../nbd/open-exports.js';
import { ReadError, readFullySync } from '../../system/read-fully.js';
import { ItemError, isOfLostFile } from '../item-failure.js';
import { MOST_READ_TOGETHER } from './payload-runs.js';
import { readExport } from './thread-exports.js';
import { threadMemory } from './thread-memory.js';

/** What is in a buffer: `found` bytes of a file, from the offset `from` on. */
interface Bounced {
  readonly from: number;
  readonly found: number;
}

export class PositionalReader {
  readonly #alignment: number;
  #bounce: Uint8Array = new Uint8Array(0);
  /** `room` bytes of an export that are in `#bounce`, as far as the export has them. */
  #kept: (Bounced & { readonly descriptor: number; readonly room: number }) | undefined;

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
   * @param runEnd offset up to which the next calls will read: requests to exports are saved by reading some of it now
   * @returns `length` bytes, valid until the next call: `found` bytes of the file, then zeros
   * @throws ItemError when a read fails
   */
  read(
    descriptor: number,
    offset: number,
    length: number,
    runEnd = offset + length,
  ): { bytes: Uint8Array; found: number } {
    const { from, found: filled } = isExportNumber(descriptor)
      ? this.#readRun(descriptor, offset, length, runEnd)
      : this.#readBounced(descriptor, offset, length);
    const skip = offset - from;
    const found = Math.min(length, Math.max(0, filled - skip));
    const bytes = this.#bounce.subarray(skip, skip + length);
    bytes.fill(0, found);
    return { bytes, found };
  }

  /** @returns the bytes in `#bounce` that hold the requested ones, as far as the export has them */
  #readRun(descriptor: number, offset: number, length: number, runEnd: number): Bounced {
    const kept = this.#kept;
    if (kept?.descriptor === descriptor && offset >= kept.from && offset + length <= kept.from + kept.room)
      return kept;
    const together = Math.min(runEnd - offset, MOST_READ_TOGETHER);
    if (together > length) {
      try {
        const bounced = this.#readBounced(descriptor, offset, together);
        this.#kept = { descriptor, ...bounced, room: offset + together - bounced.from };
        return bounced;
      } catch (error) {
        // Alone, to find the payload that cannot be read.
        if (!(error instanceof ItemError) || isOfLostFile(error.failure)) throw error;
      }
    }
    return this.#readBounced(descriptor, offset, length);
  }

  /** Reads into `#bounce`, aligned. */
  #readBounced(descriptor: number, offset: number, length: number): Bounced {
    this.#kept = undefined;
    const from = roundDown(offset, this.#alignment);
    const needed = offset - from + length;
    const room = roundUp(needed, this.#alignment);
    if (this.#bounce.length < room) this.#bounce = threadMemory.take(room);
    return { from, found: this.#fill(descriptor, from, this.#bounce.subarray(0, room), needed) };
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
