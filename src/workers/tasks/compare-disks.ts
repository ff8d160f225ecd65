/** Reads the stretches of two disks, up to the first that differs or cannot be read. */
import { SECTOR_SIZE } from '../../sector.js';
import { ItemError, type ItemFailure } from '../item-failure.js';
import type { Compared, ComparisonItem, ComparisonSetup } from '../messages/comparison.js';
import type { PoolSharedMemory } from '../messages/task.js';
import type { Decompressors } from './cluster-inflater.js';
import { SegmentReader } from './segment-reader.js';
import { splitSegments } from './split-segments.js';
import { threadMemory } from './thread-memory.js';

const SAME: Compared = { difference: undefined, unreadable: [], unreadableSide: undefined };

export class DiskComparer {
  readonly #readers: readonly [SegmentReader, SegmentReader];
  readonly #memories: readonly [Uint8Array, Uint8Array];

  constructor(setup: ComparisonSetup, memory: PoolSharedMemory, decompressors: Decompressors) {
    // The target holds zeros for unreadable ranges of the source. Its own ranges are not salvaged.
    const other = new SegmentReader({ ...setup, salvage: false }, memory, decompressors);
    this.#readers = [new SegmentReader(setup, memory, decompressors), other];
    this.#memories = [threadMemory.take(setup.itemSize), threadMemory.take(setup.itemSize)];
  }

  run({ stretches, slot }: ComparisonItem): Compared {
    for (const { at, length, segments } of stretches) {
      for (const side of [0, 1] as const) {
        try {
          const split = splitSegments(segments[side]);
          this.#readers[side].read(split, slot, this.#memories[side].subarray(0, length), []);
        } catch (error) {
          if (!(error instanceof ItemError)) throw error;
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

/** @returns a failure with its position counted from the item's start. @param at start of its stretch in the item */
function inItem(failure: ItemFailure, at: number): ItemFailure {
  return { ...failure, at: at + (failure.at ?? 0) };
}

/** @returns offset of the first sector that differs, in bytes; undefined if all are equal */
function firstDifference(one: Uint8Array, other: Uint8Array): number | undefined {
  if (Buffer.compare(one, other) === 0) return undefined;
  for (let at = 0; ; at += SECTOR_SIZE) {
    const end = at + SECTOR_SIZE;
    if (Buffer.compare(one.subarray(at, end), other.subarray(at, end)) !== 0) return at;
  }
}
