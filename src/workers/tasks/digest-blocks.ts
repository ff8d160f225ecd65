/** Reads an item and computes the digests of its blocks. */
import { blockDigests } from '../block-digests.js';
import { throwIfCancelled } from '../cancellation.js';
import type { UnreadableItemRange } from '../item-failure.js';
import type { DigestedBlocks, DigestItem, DigestSetup } from '../messages/digest.js';
import type { PoolSharedMemory } from '../messages/task.js';
import type { Decompressors } from './cluster-inflater.js';
import { SegmentReader } from './segment-reader.js';
import { splitSegments } from './split-segments.js';
import { threadMemory } from './thread-memory.js';

export class BlockDigester {
  readonly #memory: PoolSharedMemory;
  readonly #reader: SegmentReader;
  readonly #input: Uint8Array;

  constructor(setup: DigestSetup, memory: PoolSharedMemory, decompressors: Decompressors) {
    this.#memory = memory;
    this.#reader = new SegmentReader(setup, memory, decompressors);
    this.#input = threadMemory.take(setup.itemSize);
  }

  /** @throws ItemError */
  run({ segments, length, slot }: DigestItem): DigestedBlocks {
    const input = this.#input.subarray(0, length);
    const unreadable: UnreadableItemRange[] = [];
    this.#reader.read(splitSegments(segments), slot, input, unreadable);
    throwIfCancelled(this.#memory);
    return { digests: blockDigests(input), unreadable };
  }
}
