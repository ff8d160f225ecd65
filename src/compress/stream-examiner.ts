/** What a worker does with one work item of compressed clusters whose content nobody wants: inflates each. */
import { ClusterInflater, type Decompressors } from './cluster-inflater.js';
import type { ExaminationSetup, Examined, UnreadablePart, WorkItem } from './messages.js';
import { PositionalReader } from './positional-reader.js';
import { SegmentError } from './segment-error.js';

export class StreamExaminer {
  readonly #inflater: ClusterInflater;

  constructor({ readAlignment }: ExaminationSetup, decompressors: Decompressors) {
    this.#inflater = new ClusterInflater(new PositionalReader(readAlignment), decompressors);
  }

  /** @param item of compressed segments; they may lie anywhere on the disk, also twice at the same place */
  pack({ segments }: WorkItem): Examined {
    const unreadable: UnreadablePart[] = [];
    for (const segment of segments) {
      if (segment.kind !== 'compressed') continue;
      try {
        this.#inflater.inflate(segment);
      } catch (error) {
        if (!(error instanceof SegmentError)) throw error;
        unreadable.push({ at: segment.at, length: segment.length, failure: error.failure });
      }
    }
    return { facts: undefined, unreadable };
  }
}
