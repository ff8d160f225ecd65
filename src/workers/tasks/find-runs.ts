/**
 * What a worker does with one work item of a raw disk: brings it into the item's slot, every byte in its
 * place, and finds the runs to write.
 */
import type { FoundRuns, PackingSetup, UnreadableItemRange, WorkItem } from '../messages.js';
import type { Decompressors } from './cluster-inflater.js';
import { SegmentReader } from './segment-reader.js';
import { runsToWrite } from './zero-runs.js';

export class RunFinder {
  readonly #setup: PackingSetup;
  readonly #reader: SegmentReader;

  constructor(setup: PackingSetup, decompressors: Decompressors) {
    this.#setup = setup;
    this.#reader = new SegmentReader(setup, decompressors);
  }

  /** @throws SegmentError */
  pack({ segments, clusters, length, slot }: WorkItem): FoundRuns {
    const { clusterSize, itemSize, keepZeros, sparseSize, results } = this.#setup;
    const place = new Uint8Array(results, slot * itemSize, clusters * clusterSize);
    const unreadable: UnreadableItemRange[] = [];
    this.#reader.read(segments, slot, place, unreadable);
    const runs = keepZeros ? [0, length] : runsToWrite(place, segments, sparseSize);
    return { runs: Uint32Array.from(runs), unreadable };
  }
}
