/** Reads an item of a raw disk into its slot and finds the runs to write. */
import { roundUp } from '../../arithmetic.js';
import { DIRECT_ALIGNMENT } from '../../system/aligned-memory.js';
import { blockDigests } from '../block-digests.js';
import type { UnreadableItemRange } from '../item-failure.js';
import type { FoundRuns, RunsItem, RunsSetup } from '../messages/runs.js';
import type { PoolSharedMemory } from '../messages/task.js';
import type { Decompressors } from './cluster-inflater.js';
import { SegmentReader } from './segment-reader.js';
import { splitSegments } from './split-segments.js';
import { runsToWrite } from './zero-runs.js';

export class RunFinder {
  readonly #setup: RunsSetup;
  readonly #memory: PoolSharedMemory;
  readonly #reader: SegmentReader;

  constructor(setup: RunsSetup, memory: PoolSharedMemory, decompressors: Decompressors) {
    this.#setup = setup;
    this.#memory = memory;
    this.#reader = new SegmentReader(setup, memory, decompressors);
  }

  /** @throws ItemError */
  run({ segments, length, slot }: RunsItem): FoundRuns {
    const { itemSize, keepZeros, sparseSize, digests } = this.#setup;
    // Whole blocks are written, so zeros follow the end of the disk.
    const room = Math.min(itemSize, roundUp(length, DIRECT_ALIGNMENT));
    const place = new Uint8Array(this.#memory.results, slot * itemSize, room);
    const unreadable: UnreadableItemRange[] = [];
    const split = splitSegments(segments);
    this.#reader.read(split, slot, place, unreadable);
    const runs = keepZeros ? [0, length] : runsToWrite(place, split, sparseSize);
    return {
      runs: Uint32Array.from(runs),
      digests: digests ? blockDigests(place.subarray(0, length)) : undefined,
      unreadable,
    };
  }
}
