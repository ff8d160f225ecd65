/** Finds the clusters of an item that the target's backing file already holds. */
import { roundUp } from '../../arithmetic.js';
import type { UnreadableItemRange } from '../item-failure.js';
import type { CompressionItem, CompressionSetup } from '../messages/compression.js';
import type { SegmentReader } from './segment-reader.js';
import { splitSegments } from './split-segments.js';
import { threadMemory } from './thread-memory.js';

export class BackingComparison {
  readonly #setup: CompressionSetup;
  readonly #reader: SegmentReader;
  /** The backing file's bytes of the item. Allocated for the first item that is compared. */
  #content: Uint8Array = new Uint8Array(0);
  /** The clusters to compare; the others are known to be the same. Undefined without a backing file. */
  #changed: Set<number> | undefined;
  /** Whether changed clusters are compared with the backing file. Otherwise all of them count as different. */
  #compares = false;
  /** With salvage: clusters that could not be read from the backing file. They count as different. */
  readonly #unknown = new Set<number>();

  constructor(setup: CompressionSetup, reader: SegmentReader) {
    this.#setup = setup;
    this.#reader = reader;
  }

  /**
   * Starts an item: reads the backing file's bytes for it.
   * @throws ItemError
   */
  begin({ backing, changed, length, slot }: CompressionItem): void {
    this.#changed = undefined;
    this.#compares = backing !== undefined;
    this.#unknown.clear();
    if (changed === undefined) return;
    this.#changed = new Set(changed.flatMap(([from, to]) => indices(from, to)));
    if (backing === undefined) return;
    const { clusterSize, itemSize } = this.#setup;
    if (this.#content.length === 0) this.#content = threadMemory.take(itemSize);
    const lost: UnreadableItemRange[] = [];
    const place = this.#content.subarray(0, roundUp(length, clusterSize));
    this.#reader.read(splitSegments(backing), slot, place, lost);
    for (const range of lost) {
      if (range.isKept) continue;
      const { at } = range;
      const last = Math.ceil((at + range.length) / clusterSize);
      for (const index of indices(Math.floor(at / clusterSize), last)) this.#unknown.add(index);
    }
  }

  /** @returns whether a cluster of the item equals the backing file's; false without a backing file */
  isSame(index: number, cluster: Uint8Array): boolean {
    if (this.#changed === undefined) return false;
    if (!this.#changed.has(index)) return true;
    const at = index * cluster.length;
    return (
      this.#compares &&
      !this.#unknown.has(index) &&
      Buffer.compare(cluster, this.#content.subarray(at, at + cluster.length)) === 0
    );
  }
}

/** The integers of [from, to). */
function indices(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
