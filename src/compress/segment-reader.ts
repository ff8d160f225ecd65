/** Reads the segments of a work item into memory, in a worker, with positional reads on shared descriptors. */
import * as fs from 'node:fs';
import { alignedMemory, roundDown, roundUp } from '../storage/aligned-memory.js';
import type { ItemFailure, Segment } from './messages.js';

/** Thrown inside the worker only: carries the plain failure that is sent to the main thread. */
export class SegmentError extends Error {
  override readonly name = 'SegmentError';
  readonly failure: ItemFailure;

  constructor(failure: ItemFailure) {
    super(failure.kind === 'read' ? failure.message : 'the file ended early');
    this.failure = failure;
  }
}

export class SegmentReader {
  readonly #alignment: number;
  #bounce: Uint8Array = new Uint8Array(0);

  /** @param alignment what offset, length and address of a read must be multiples of, in bytes */
  constructor(alignment: number) {
    this.#alignment = alignment;
  }

  /**
   * Fills `item` with the segments' bytes and zeros between them.
   * @param segments in ascending order, inside the item
   * @throws SegmentError when a read fails or the file has fewer bytes than the map said
   */
  read(segments: readonly Segment[], item: Uint8Array): void {
    let filled = 0;
    for (const segment of segments) {
      item.fill(0, filled, segment.at);
      this.#readSegment(segment, item.subarray(segment.at, segment.at + segment.length));
      filled = segment.at + segment.length;
    }
    item.fill(0, filled);
  }

  #readSegment(segment: Segment, into: Uint8Array): void {
    const alignment = this.#alignment;
    const isAligned = [segment.offset, segment.length, into.byteOffset].every(
      (value) => value % alignment === 0,
    );
    if (isAligned) {
      this.#readFully(segment, segment.offset, into, segment.length);
      return;
    }
    const from = roundDown(segment.offset, alignment);
    const skip = segment.offset - from;
    const length = roundUp(skip + segment.length, alignment);
    if (this.#bounce.length < length) this.#bounce = alignedMemory(length);
    this.#readFully(segment, from, this.#bounce.subarray(0, length), skip + segment.length);
    into.set(this.#bounce.subarray(skip, skip + segment.length));
  }

  /** Reads until at least `needed` bytes are there. */
  #readFully(segment: Segment, offset: number, into: Uint8Array, needed: number): void {
    let done = 0;
    while (done < needed) {
      const count = readOnce(segment, offset + done, into.subarray(done));
      if (count === 0) {
        throw new SegmentError({
          kind: 'short',
          descriptor: segment.descriptor,
          offset,
          expected: needed,
          found: done,
        });
      }
      done += count;
    }
  }
}

function readOnce({ descriptor }: Segment, offset: number, into: Uint8Array): number {
  for (;;) {
    try {
      return fs.readSync(descriptor, into, 0, into.length, offset);
    } catch (error) {
      const { errno, code, message } = error as NodeJS.ErrnoException;
      if (code === 'EINTR' || code === 'EAGAIN') continue;
      throw new SegmentError({ kind: 'read', descriptor, offset, errno, code, message });
    }
  }
}
