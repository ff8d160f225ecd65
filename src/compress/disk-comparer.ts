/** What a worker does with one work item of two disks: brings both into memory and finds where they differ. */
import { alignedMemory } from '../storage/aligned-memory.js';
import type { Decompressors } from './cluster-inflater.js';
import type { Compared, ComparisonSetup, UnreadablePart, WorkItem } from './messages.js';
import { SegmentReader } from './segment-reader.js';

const SECTOR_SIZE = 512;

export class DiskComparer {
  readonly #reader: SegmentReader;
  readonly #one: Uint8Array;
  readonly #other: Uint8Array;

  constructor(setup: ComparisonSetup, decompressors: Decompressors) {
    this.#reader = new SegmentReader(setup, decompressors);
    this.#one = alignedMemory(setup.itemSize);
    this.#other = alignedMemory(setup.itemSize);
  }

  /** @param item with the other disk as its backing @throws SegmentError */
  pack({ segments, backing = [], length, slot }: WorkItem): Compared {
    const [one, other] = [this.#one.subarray(0, length), this.#other.subarray(0, length)];
    const unreadable: UnreadablePart[] = [];
    this.#reader.read(segments, slot, one, unreadable);
    this.#reader.read(backing, slot, other, unreadable);
    return { difference: firstDifference(one, other), unreadable };
  }
}

/** @returns the first sector that is not the same in both, in bytes; undefined: there is none */
function firstDifference(one: Uint8Array, other: Uint8Array): number | undefined {
  if (Buffer.compare(one, other) === 0) return undefined;
  for (let at = 0; ; at += SECTOR_SIZE) {
    const end = at + SECTOR_SIZE;
    if (Buffer.compare(one.subarray(at, end), other.subarray(at, end)) !== 0) return at;
  }
}
