/**
 * What a worker does with one work item of two disks: reads both stretch by stretch, and stops at the first that is
 * not the same or cannot be read.
 */
import { SECTOR_SIZE } from '../../sector.js';
import type { Compared, ComparisonItem, ComparisonSetup, ItemFailure } from '../messages.js';
import type { Decompressors } from './cluster-inflater.js';
import { SegmentError } from './segment-error.js';
import { SegmentReader } from './segment-reader.js';
import { threadMemory } from './thread-memory.js';

const SAME: Compared = { difference: undefined, unreadable: [], unreadableSide: undefined };

export class DiskComparer {
  readonly #readers: readonly [SegmentReader, SegmentReader];
  readonly #memories: readonly [Uint8Array, Uint8Array];

  constructor(setup: ComparisonSetup, decompressors: Decompressors) {
    // Zeros in the place of what cannot be read are expected in the other, and not made there.
    const other = new SegmentReader({ ...setup, salvage: false }, decompressors);
    this.#readers = [new SegmentReader(setup, decompressors), other];
    this.#memories = [threadMemory.take(setup.itemSize), threadMemory.take(setup.itemSize)];
  }

  pack({ stretches, slot }: ComparisonItem): Compared {
    for (const { at, length, segments } of stretches) {
      for (const side of [0, 1] as const) {
        try {
          this.#readers[side].read(segments[side], slot, this.#memories[side].subarray(0, length), []);
        } catch (error) {
          if (!(error instanceof SegmentError)) throw error;
          const failure = inItem(error.failure, at);
          return { difference: undefined, unreadable: [{ at, length, failure }], unreadableSide: side };
        }
      }
      const [one, other] = this.#memories;
      const difference = firstDifference(one.subarray(0, length), other.subarray(0, length));
      if (difference !== undefined) return { ...SAME, difference: at + difference };
    }
    return SAME;
  }
}

/** A failure in a stretch that begins at `at`, in bytes, with its place in the item. */
function inItem(failure: ItemFailure, at: number): ItemFailure {
  return failure.kind === 'corrupt' ? { ...failure, at: at + failure.at } : failure;
}

/** @returns the first sector that is not the same in both, in bytes; undefined: there is none */
function firstDifference(one: Uint8Array, other: Uint8Array): number | undefined {
  if (Buffer.compare(one, other) === 0) return undefined;
  for (let at = 0; ; at += SECTOR_SIZE) {
    const end = at + SECTOR_SIZE;
    if (Buffer.compare(one.subarray(at, end), other.subarray(at, end)) !== 0) return at;
  }
}
